package ingestion

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/testkit"
)

// ofSubject is a webhook of acme about somebody, accepted, and its event's id.
func (g *gateway) ofSubject(eventID, subject string) string {
	g.t.Helper()
	text, _ := json.Marshal(subject)
	a := g.do(acmeRequest(fmt.Sprintf(`{"eventId":%q,"eventType":"t","occurredAt":"2026-01-31T12:00:00Z","subject":%s,"data":{}}`, eventID, text), "X-Customer", subject))
	require.Less(g.t, a.Status, 300, "%+v", a.Error)
	return a.receipt(g.t).EventID
}

// eventsOf walks all events, a few at a time.
func (g *gateway) eventsOf(want contract.ErasureScan, holds ...Holds) (all []string) {
	g.t.Helper()
	var of Holds
	if len(holds) > 0 {
		of = holds[0]
	}
	after := contract.ReplayPosition{EventID: firstID}
	for end := false; !end; {
		page, err := g.module.ErasurePage(g.t.Context(), want, of, after, clock.System().Add(time.Hour), 3)
		require.NoError(g.t, err)
		for _, e := range page.Events {
			all = append(all, e.EventID)
		}
		after, end = page.Last, page.End
	}
	return all
}

// refusedOf walks the quarantine.
func (g *gateway) refusedOf(text string, holds Holds, sources ...string) (ids []string) {
	g.t.Helper()
	for after, end := "", false; !end; {
		found, err := g.module.ErasureRefused(g.t.Context(), contract.ErasureScan{Sources: sources}, text, holds, after, 10)
		require.NoError(g.t, err)
		ids, after, end = append(ids, found.IDs...), found.Last, found.End
	}
	return ids
}

func (g *gateway) forget(eventIDs ...string) (webhooks int) {
	g.t.Helper()
	require.NoError(g.t, g.db.InTx(g.t.Context(), func(tx *database.Tx) (err error) {
		if _, err := g.module.LockStates(g.t.Context(), tx, eventIDs); err != nil {
			return err
		}
		webhooks, err = g.module.Forget(g.t.Context(), tx, eventIDs)
		return err
	}))
	return webhooks
}

func TestEventsAreFoundByTheirWholeSubject(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		first := g.ofSubject("1", person)
		g.ofSubject("2", "x"+person)
		g.ofSubject("3", strings.ToUpper(person))
		second := g.ofSubject("4", person)
		r := g.do(globexRequest(strings.Replace(globexBody("5"), `"id":1`, `"id":"`+person+`"`, 1), globexSecret))
		require.Equal(t, http.StatusAccepted, r.Status)
		third := r.receipt(t).EventID
		require.Equal(t, []string{first, second, third}, g.eventsOf(contract.ErasureScan{Subject: person}))
		require.Equal(t, []string{third}, g.eventsOf(contract.ErasureScan{Subject: person, Sources: []string{"globex"}}))
		require.Empty(t, g.eventsOf(contract.ErasureScan{Subject: "%"}), "it is no pattern")
		require.Equal(t, []string{g.ofSubject("6", "a\x00b")}, g.eventsOf(contract.ErasureScan{Subject: "a\x00b"}), "as the column has it")
	})
}

func TestForgettingAnEvent(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		event, other := g.ofSubject("1", person), g.ofSubject("2", "grace@example.com")
		require.Equal(t, 1, g.forget(event))
		require.Zero(t, g.forget(event), "the second time there is nothing left")
		a := g.get("/events/" + event)
		require.Equal(t, http.StatusOK, a.Status, "its record stays")
		var o struct {
			Event   map[string]any
			Webhook map[string]any
		}
		require.NoError(t, json.Unmarshal(a.Data, &o))
		require.NotNil(t, o.Event["erasedAt"])
		require.Nil(t, o.Event["subject"])
		require.Nil(t, o.Event["normalizedPayload"])
		require.Equal(t, "1", o.Event["externalEventId"])
		require.Equal(t, "erased", o.Webhook["bodyState"])
		require.Equal(t, "", o.Webhook["rawBody"])
		require.Equal(t, map[string]any{}, o.Webhook["requestHeaders"])
		require.NotContains(t, g.dump(), person)
		require.Contains(t, g.dump(), "grace@example.com")
		require.Empty(t, g.eventsOf(contract.ErasureScan{Subject: person}))

		require.Equal(t, event, g.ofSubject("1", person), "the sender's repeat is a duplicate")
		require.NotContains(t, g.dump(), person, "and brings nothing back")

		found, err := g.module.Deliverables(t.Context(), []string{event, other})
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.Equal(t, other, found[0].EventID)
		originals, err := g.module.Originals(t.Context(), []string{event, other})
		require.NoError(t, err)
		require.Len(t, originals, 1)
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
			_, err := g.module.Integration(t.Context(), tx, event)
			require.True(t, fault.Is(err, fault.Conflict), "%v", err)
			_, err = g.module.Integration(t.Context(), tx, other)
			require.NoError(t, err)
			states, err := g.module.LockStates(t.Context(), tx, []string{event, other})
			require.Equal(t, []bool{true, false}, []bool{states[0].Erased, states[1].Erased})
			return err
		}))
	})
}

// A correlation id that a sender chose may name a person: it is found nowhere afterwards, and
// a repeat is answered with the event's.
func TestCorrelationIDsThatSendersChooseAreForgotten(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		memory := cache.NewMemory(0, clock.System)
		g := setup(t, db, func(_ *Config, d *Deps) { d.Cache = memory })
		const chosen, made = "ada.lovelace", "4bf92f3577b34da6a3ce929d0e0e4736"
		first := g.do(acmeRequest(acmeBody("c1"), "X-Correlation-Id", chosen)).receipt(t)
		require.Equal(t, chosen, first.CorrelationID)
		require.Equal(t, chosen, g.do(acmeRequest(acmeBody("c1"))).receipt(t).CorrelationID, "a repeat is told it")
		claimed, err := memory.Claim(t.Context(), []cache.Claim{{Key: markerKey("acme:c1"), TTL: time.Minute}})
		require.NoError(t, err)
		require.NotContains(t, claimed[0].Value, chosen)
		require.False(t, g.do(acmeRequest(acmeBody("c2"), "X-Correlation-Id", made)).receipt(t).Duplicate)
		require.Equal(t, 1, g.forget(first.EventID))
		require.NotContains(t, g.dump(), chosen)
		require.Equal(t, first.EventID, g.do(acmeRequest(acmeBody("c1"))).receipt(t).CorrelationID)
		require.Equal(t, made, g.do(acmeRequest(acmeBody("c2"))).receipt(t).CorrelationID)
		require.Contains(t, g.dump(), `"correlationId":"`+made+`"`, "one that programs make stays in the trail")
	})
}

func TestForgettingASharedBodyKeepsTheEventsOfOthers(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		ids := g.batched(`{"id":1,"who":"`+person+`"}`, `{"id":2,"who":"grace@example.com"}`)
		g.ofSubject("another", "grace@example.com")
		others := func() []string {
			found, err := g.module.OthersOf(t.Context(), ids[:1])
			require.NoError(t, err)
			return found
		}
		require.Equal(t, ids[1:], others())
		require.Equal(t, 1, g.forget(ids[0]))
		require.Empty(t, others(), "they have lost it already")
		require.NotContains(t, g.dump(), person)
		shown := string(g.get("/events/" + ids[1]).Data)
		require.Contains(t, shown, `"who":"grace@example.com"`, "its own payload")
		require.Contains(t, shown, `"erasedAt":null`)
		require.Contains(t, shown, `"bodyState":"erased"`)
		require.Zero(t, g.forget(ids[1]), "the body is gone already")
	})
}

func TestRefusedRequestsThatMentionASubject(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		refused := func(source, body string, headers ...string) {
			r := request(source, body)
			for i := 0; i < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
			require.GreaterOrEqual(t, g.do(r).Status, 400)
		}
		refused("acme", `{"data":[{"who":"`+person+`"}]}`)
		refused("acme", `{"data":"about `+person+`"}`) // within another text it is somebody else's, as far as anybody knows
		refused("acme", `{"who":"`+person)
		refused("acme", `{}`, "X-Customer", "mail to "+person)
		refused("globex", `{"who":"\u0061da@example.com"}`)
		for n := range 12 { // more than are read at once
			refused("globex", fmt.Sprintf(`{"n":%d}`, n))
		}
		refused("globex", `{"who":"`+person+`"}`)
		require.Len(t, g.kept(), 18)
		require.Len(t, g.refusedOf(person, nil), 5)
		require.Len(t, g.refusedOf(person, nil, "globex"), 2)
		require.Len(t, g.refusedOf("7", nil), 1, "a number is a text")

		// By a value at a path.
		require.Len(t, g.refusedOf(person, holding(t, person, "$.who")), 3, "two are there, and one is in a body that is no JSON")
		require.Len(t, g.refusedOf(person, holding(t, person, "$.data[*].who")), 2)
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
			n, err := g.module.RemoveRefused(t.Context(), tx, g.refusedOf(person, nil))
			require.Equal(t, 5, n)
			return err
		}))
		require.Empty(t, g.refusedOf(person, nil))
		require.Len(t, g.kept(), 13)
	})
}

func TestTheTrailDoesNotHoldSubjects(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	g.ofSubject("1", person)
	var details []string
	require.NoError(t, g.db.Select(context.Background(), &details, `SELECT details FROM audit_entries`))
	require.Len(t, details, 3)
	require.NotContains(t, strings.Join(details, ""), person)
}
