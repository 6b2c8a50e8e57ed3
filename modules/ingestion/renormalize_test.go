package ingestion

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
)

// mapped makes a source whose subject and type are where the options say.
func (g *gateway) mapped(event string) string {
	g.manage(http.MethodPost, "/integrations", `{"source":"shop","provider":"generic","secrets":["a-token-of-shop"],"options":`+mapping(event)+`}`)
	return "shop"
}

func mapping(event string) string {
	return `{"generic":{"scheme":"token","signature":{"header":"X-Token"},"event":` + event + `}}`
}

func (g *gateway) shop(body string) answer {
	r := request("shop", body)
	r.Header.Set("X-Token", "a-token-of-shop")
	r.Header.Set("X-Batch", "one-id")
	return g.do(r)
}

func (g *gateway) renormalize(ids ...string) []contract.Renormalized {
	g.t.Helper()
	list, err := g.module.Renormalize(g.t.Context(), ids)
	require.NoError(g.t, err)
	return list
}

func TestAnEventIsNormalizedByTheMappingOfNow(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.mapped(`{"id":"$.id","type":"$.type","subject":"$.old"}`)
		eventID := g.shop(`{"id":"e1","type":"a","old":"Ada","new":"Grace","number":1.10}`).receipt(t).EventID
		before := g.get("/events/" + eventID).Data

		same := g.renormalize(eventID)
		require.Len(t, same, 1)
		require.NoError(t, same[0].Problem)
		require.Equal(t, string(same[0].Stored), string(same[0].Payload), "nothing has changed")

		g.sources.change("shop", func(s *settings) { s.Options.Generic.Event.Subject = provider.At("$.new") })
		changed := g.renormalize(eventID)
		require.NoError(t, changed[0].Problem)
		require.Contains(t, string(changed[0].Stored), `"subject":"Ada"`)
		require.Contains(t, string(changed[0].Payload), `"subject":"Grace"`)
		require.Contains(t, string(changed[0].Payload), `"number":1.10`)
		require.Equal(t, "a", changed[0].EventType)

		g.sources.change("shop", func(s *settings) { s.Redact = []string{"$.old"} })
		redacted := g.renormalize(eventID)
		require.NoError(t, redacted[0].Problem)
		require.NotContains(t, string(redacted[0].Payload), "Ada", "what is redacted now is left out")
		require.Equal(t, string(before), string(g.get("/events/"+eventID).Data), "what is stored stays as it was")

		g.sources.change("shop", func(s *settings) { s.Options.Generic.Event.Type = provider.At("$.kind") })
		refused := g.renormalize(eventID)
		require.ErrorContains(t, refused[0].Problem, "the mapping of now refuses the webhook: There is no type at $.kind")
		require.Nil(t, refused[0].Payload)

		g.sources.change("shop", func(s *settings) { s.IsActive = false })
		require.True(t, fault.Is(g.renormalize(eventID)[0].Problem, fault.NotFound), "it may be activated again")
		require.Empty(t, g.renormalize(id.New()), "an event that there is not")
		require.Empty(t, g.renormalize())
	})
}

// Each event of a webhook is found again among those that the mapping of now makes.
func TestTheItemsOfAWebhookAreToldApart(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.mapped(`{"id":"$.id","type":"$.type","subject":"$.old","items":true}`)
		first := g.shop(`[{"id":"e1","type":"a","old":"1","new":"I"}]`).receipt(t).EventID
		ids := g.shop(`[{"id":"e1","type":"a","old":"1","new":"I"},{"id":"e2","type":"a","old":"2","new":"II"},{"id":"e3","type":"a","old":"3","new":"III"}]`).receipt(t).EventIDs
		require.Equal(t, first, ids[0], "the first came before")
		subjects := func(ids ...string) (found []string) {
			for _, r := range g.renormalize(ids...) {
				if r.Problem != nil {
					found = append(found, "")
					continue
				}
				found = append(found, subjectOf(t, r.Payload))
			}
			return found
		}
		g.sources.change("shop", func(s *settings) { s.Options.Generic.Event.Subject = provider.At("$.new") })
		require.Equal(t, []string{"II", "III"}, subjects(ids[1], ids[2]), "by their keys")

		g.sources.change("shop", func(s *settings) { s.Options.Generic.Event.ID = provider.At("header:X-Batch") })
		require.Equal(t, []string{"", ""}, subjects(ids[1], ids[2]), "the webhook has three items and two events")
		require.Equal(t, []string{"I"}, subjects(first), "the only item is the only event")

		all := g.shop(`[{"id":"e4","type":"a","old":"4","new":"IV"},{"id":"e5","type":"a","old":"5","new":"V"}]`).receipt(t).EventIDs
		g.sources.change("shop", func(s *settings) { s.Options.Generic.Event.ID = provider.At("$.new") })
		require.Equal(t, []string{"IV", "V"}, subjects(all...), "by their places")
	})
}

func subjectOf(t *testing.T, payload []byte) string {
	t.Helper()
	var event struct{ Subject string }
	require.NoError(t, json.Unmarshal(payload, &event))
	return event.Subject
}

func TestNoWebhookNoCanonicalForm(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		body := acmeBody("e1")
		eventID := g.do(acmeRequest(body)).receipt(t).EventID
		require.NoError(t, g.renormalize(eventID)[0].Problem)
		g.exec(`UPDATE webhook_events SET raw_body = $1, body_state = 'erased'`, []byte{})
		g.exec(`UPDATE normalized_events SET normalized_payload = $1`, []byte(`{"a":1}`))
		require.True(t, errors.Is(g.renormalize(eventID)[0].Problem, errNoWebhook))
		g.exec(`UPDATE normalized_events SET normalized_payload = $1`, []byte{})
		require.Empty(t, g.renormalize(eventID), "an erased event has no form at all")
	})
}

// The mapping that has not changed makes the same of every provider's webhooks, signed ids and
// several events in one body included.
func TestEveryProviderIsNormalizedAgainAlike(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db, atThen)
		for _, s := range provider.Builtin().Specs() {
			if !s.Signable() {
				continue
			}
			key := sampleKey(s.Name)
			held, err := s.SecretFor(key)
			require.NoError(t, err)
			g.addProvider(s.Name, held)
			for i, sample := range s.Samples {
				req, err := s.SampleRequest(sample, key, then, "http://example.com/api/v1/webhooks/"+s.Name+"-source", fmt.Sprintf("id-of-%d", i))
				require.NoError(t, err)
				g.plain(incoming(req))
			}
		}
		var ids []string
		require.NoError(t, db.Select(t.Context(), &ids, `SELECT id FROM normalized_events ORDER BY id`))
		require.Greater(t, len(ids), 25)
		for _, r := range g.renormalize(ids...) {
			require.NoError(t, r.Problem, string(r.Stored))
			require.Equal(t, string(r.Stored), string(r.Payload))
		}
	})
}

func TestAMappingIsTriedOnAStoredEvent(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.mapped(`{"id":"$.id","type":"$.type","subject":"$.old"}`)
		eventID := g.shop(`{"id":"e1","type":"a","old":"Ada","new":"Grace","number":1.10}`).receipt(t).EventID
		before := g.get("/events/" + eventID).Data
		try := func(event string) (p MappingPreview) {
			a := g.manage(http.MethodPost, "/events/"+eventID+"/mapping", `{"options":`+mapping(event)+`}`)
			require.Equal(t, http.StatusOK, a.Status, "%+v", a.Error)
			require.NoError(t, json.Unmarshal(a.Data, &p))
			return p
		}
		same := try(`{"id":"$.id","type":"$.type","subject":"$.old"}`)
		require.False(t, same.Changed)
		require.Equal(t, "Ada", *same.Stored.Subject)
		require.Equal(t, same.Stored, *same.Mapped)

		other := try(`{"id":"header:X-Batch","type":"text:order","subject":"$.new"}`)
		require.True(t, other.Changed)
		require.Equal(t, []string{"one-id", "order", "Grace"}, []string{*other.Mapped.ExternalEventID, other.Mapped.EventType, *other.Mapped.Subject})
		require.Contains(t, string(other.Mapped.Payload), `"number":1.10`, "numbers as they came")
		require.Equal(t, "Ada", *other.Stored.Subject)

		refused := try(`{"type":"$.kind"}`)
		require.Nil(t, refused.Mapped)
		require.Contains(t, *refused.Problem, "There is no type at $.kind")

		wrong := g.manage(http.MethodPost, "/events/"+eventID+"/mapping", `{"options":`+mapping(`{"type":"$.["}`)+`}`)
		require.Equal(t, http.StatusBadRequest, wrong.Status)
		require.Equal(t, "options.generic.event.type", wrong.Error.Details[0].Field)
		requireFields(t, []string{"options: is required"}, g.manage(http.MethodPost, "/events/"+eventID+"/mapping", `{}`).Error.Details)
		require.Equal(t, http.StatusNotFound, g.manage(http.MethodPost, "/events/"+id.New()+"/mapping", `{"options":`+mapping(`{"type":"$.type"}`)+`}`).Status)
		require.Equal(t, string(before), string(g.get("/events/"+eventID).Data), "nothing is stored")
	})
}
