package ingestion

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

// person is who must not be found.
const person = "ada@example.com"

// redacting makes an integration of acme with a redaction, and gives its id.
func (g *gateway) redacting(source string, paths ...string) string {
	g.t.Helper()
	integrationID := g.create(source, acmeSecret)
	text, _ := json.Marshal(map[string]any{"redact": paths})
	a := g.manage(http.MethodPatch, "/integrations/"+integrationID, string(text))
	require.Equal(g.t, http.StatusOK, a.Status, "%+v", a.Error)
	return integrationID
}

// dump is all that the tables of webhooks, events and audit entries hold.
func (g *gateway) dump() string {
	g.t.Helper()
	quarantined := `CAST(raw_body AS text) || request_headers || source_ip || url || detail`
	if g.db.Dialect.Name == "postgres" {
		quarantined = strings.Replace(quarantined, "CAST(raw_body AS text)", "encode(raw_body, 'escape')", 1)
	}
	all := slices.Concat(g.storedHeaders(), g.storedBodies(), g.storedPayloads())
	for _, query := range []string{
		`SELECT source_ip || COALESCE(external_event_id, '') FROM webhook_events`, `SELECT COALESCE(subject, '') FROM normalized_events`,
		`SELECT details FROM audit_entries`, `SELECT idempotency_key FROM idempotency_keys`, `SELECT COALESCE(last_error, '') FROM event_states`,
		`SELECT ` + quarantined + ` FROM quarantine`,
	} {
		var rows []string
		require.NoError(g.t, g.db.Select(g.t.Context(), &rows, query), query)
		all = append(all, rows...)
	}
	return strings.Join(all, "\n")
}

func TestRedactedValuesAreStoredNowhere(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		integrationID := g.redacting("made", "$.data.email", "$.data['id']", "$..card")
		body := `{"eventId":"e1","eventType":"order.created","occurredAt":"2026-01-31T12:00:00Z","data":{"email":"x","id":"` + person +
			`","email":"` + person + `","total": 1.10,"n":12345678901234567891,"n":2,"card":{"number":"4111 1111 1111 1111"}}}`
		send := func() answer {
			r := request("made", body)
			r.Header.Set("X-Acme-Signature", sign(body))
			r.Header.Set("X-Customer", "<"+person+">")
			r.Header.Set("X-Other", "stays")
			return g.do(r)
		}
		first := send()
		require.Equal(t, http.StatusAccepted, first.Status, "%+v", first.Error)
		again := send()
		require.Equal(t, http.StatusOK, again.Status)
		require.Equal(t, first.receipt(t).EventID, again.receipt(t).EventID, "it is known by the body as it came")

		shown := g.get("/events/" + first.receipt(t).EventID)
		var o struct {
			Event   struct{ Subject, EventType string }
			Webhook struct {
				BodyState      string
				RawBody        []byte
				RequestHeaders map[string]string
			}
		}
		require.NoError(t, json.Unmarshal(shown.Data, &o))
		kept := strings.NewReplacer(`"x"`, `"[redacted]"`, `"`+person+`"`, `"[redacted]"`, `{"number":"4111 1111 1111 1111"}`, `"[redacted]"`).Replace(body)
		require.Equal(t, kept, string(o.Webhook.RawBody), "all other bytes are as they came")
		require.Equal(t, "redacted", o.Webhook.BodyState)
		require.Equal(t, "[redacted]", o.Event.Subject)
		require.Equal(t, "order.created", o.Event.EventType)
		require.Equal(t, "[redacted]", o.Webhook.RequestHeaders["x-customer"])
		require.Equal(t, "stays", o.Webhook.RequestHeaders["x-other"])
		require.Contains(t, string(shown.Data), `"n":12345678901234567891,"n":2`, "in the canonical event too")
		for _, place := range []string{g.dump(), string(shown.Data), string(g.get("/audit-entries").Data)} {
			require.NotContains(t, place, person)
			require.NotContains(t, place, "4111 1111")
		}
		require.Contains(t, string(g.get("/integrations/"+integrationID).Data), `"redact":["$.data.email","$.data['id']","$..card"]`)

		originals, err := g.module.Originals(t.Context(), []string{first.receipt(t).EventID})
		require.NoError(t, err)
		require.True(t, originals[0].Redacted, "so that no destination is sent it as the provider's own")
	})
}

func TestABodyInWhichNothingIsRedactedStaysByteForByte(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.redacting("made", "$.data.email")
		require.Equal(t, http.StatusAccepted, g.sentTo("made", acmeSecret, "e1"))
		var state string
		require.NoError(t, db.Get(t.Context(), &state, `SELECT body_state FROM webhook_events`))
		require.Equal(t, "exact", state)
		require.Contains(t, g.dump(), acmeBody("e1"))
	})
}

func TestBodiesThatDifferOnlyInRedactedFieldsAreTwoEvents(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		a := g.manage(http.MethodPost, "/integrations", `{"source":"own","provider":"generic","secrets":["first-secret"],"redact":["$.who"],
			"options":{"generic":{"scheme":"token","signature":{"header":"X-Token"},"event":{"type":"text:t"}}}}`)
		require.Equal(t, http.StatusCreated, a.Status, "%+v", a.Error)
		ids := map[string]bool{}
		for _, c := range []struct {
			who  string
			want int
		}{{"one@example.com", 202}, {"two@example.com", 202}, {"one@example.com", 200}} {
			r := request("own", `{"who":"`+c.who+`"}`)
			r.Header.Set("X-Token", "first-secret")
			a := g.do(r)
			require.Equal(t, c.want, a.Status, c.who)
			ids[a.receipt(t).EventID] = true
		}
		require.Len(t, ids, 2)
		require.NotContains(t, g.dump(), "@example.com")
	})
}

func TestAWebhookRefusedByABrokenRedactionIsQuarantined(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		made := g.create("made", acmeSecret)
		g.sources.change(made, func(s *settings) { s.Redact = []string{"$.eventId"} })
		require.Equal(t, http.StatusServiceUnavailable, g.sentTo("made", acmeSecret, "the-event-id"))
		list := g.kept()
		require.Len(t, list, 1)
		require.Equal(t, "redaction_broken", list[0].Reason)
		require.Contains(t, list[0].Detail, "the redaction of integration "+made)
		require.True(t, list[0].Redacted)
		require.NotContains(t, g.dump(), "the-event-id")
	})
}

func TestNoHeaderValueIsStoredIfTooMuchIsRedacted(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.redacting("made", "$.data.list")
		body := strings.Replace(acmeBody("e1"), `"d1"`, `"d1","list":[`+strings.Repeat(`1,`, 1000)+`"`+person+`"]`, 1)
		r := request("made", body)
		r.Header.Set("X-Acme-Signature", sign(body))
		r.Header.Set("X-Customer", person)
		require.Equal(t, http.StatusAccepted, g.do(r).Status)
		require.NotContains(t, g.dump(), person)
		require.Contains(t, g.dump(), `"x-customer":["[redacted]"]`, "the name stays")
	})
}

func TestARedactionOfAnEventsIdentityStoresNothing(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	made := g.create("made", acmeSecret)
	for _, path := range []string{"$.eventId", "$.eventType", "$.data", "nonsense"} {
		g.sources.change(made, func(s *settings) { s.Redact = []string{path} })
		require.Equal(t, http.StatusServiceUnavailable, g.sentTo("made", acmeSecret, "e1"), path)
		require.Zero(t, g.count("webhook_events")+g.count("normalized_events")+g.count("idempotency_keys"))
	}
	require.Equal(t, http.StatusAccepted, g.sentTo("acme", acmeSecret, "e1"), "others go on")
	require.Equal(t, http.StatusOK, g.manage(http.MethodPatch, "/integrations/"+made, `{"redact":[]}`).Status)
	require.Equal(t, http.StatusAccepted, g.sentTo("made", acmeSecret, "e1"), "once it is mended")
}

func TestTheQuarantineOfARedactingIntegrationStoresNoBody(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		for name, body := range map[string]string{
			"signed by nobody": `{"eventId":"e1","data":{"email":"` + person + `"}}`,
			"signed, no event": `{"data":{"email":"` + person + `"}}`,
			"no JSON":          `{"data":{"email":"` + person,
		} {
			t.Run(name, func(t *testing.T) {
				g := setup(t, db)
				g.exec(`DELETE FROM quarantine`)
				g.redacting("made", "$.data.email")
				r := request("made", body)
				r.Header.Set("X-Acme-Signature", sign(body))
				if name == "signed by nobody" {
					r.Header.Set("X-Acme-Signature", strings.Repeat("0", 64))
					r.Header.Set("X-Customer", person)
				}
				require.GreaterOrEqual(t, g.do(r).Status, 400)
				list := g.kept()
				require.Len(t, list, 1)
				require.True(t, list[0].Redacted)
				require.Equal(t, int64(len(body)), list[0].Size)
				require.NotContains(t, g.dump(), person)
				a := g.manage(http.MethodPost, "/quarantine/"+list[0].ID+"/release", "")
				require.Equal(t, http.StatusConflict, a.Status)
				require.Contains(t, a.Error.Message, "Have the provider send it again")
				require.Len(t, g.kept(), 1, "it stays to be seen")
			})
		}
	})
}

func TestAWebhookQuarantinedBeforeTheRedactionIsReleasedRedacted(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		body := strings.Replace(acmeBody("e1"), `"d1"`, `"d1","email":"`+person+`"`, 1)
		r := request("acme", body)
		r.Header.Set("X-Acme-Signature", signWith("first-secret", body))
		require.Equal(t, http.StatusUnauthorized, g.do(r).Status)
		list := g.kept()
		require.Len(t, list, 1)
		require.Equal(t, http.StatusCreated, g.manage(http.MethodPost, "/integrations/"+g.acme+"/secrets", `{"value":"first-secret"}`).Status)
		require.Equal(t, http.StatusOK, g.manage(http.MethodPatch, "/integrations/"+g.acme, `{"redact":["$.data.email"]}`).Status)
		require.Equal(t, http.StatusAccepted, g.manage(http.MethodPost, "/quarantine/"+list[0].ID+"/release", "").Status)
		require.NotContains(t, g.dump(), person)
	})
}

func BenchmarkStoredPayload(b *testing.B) {
	g := setup(b, testkit.Open(b, testkit.SQLite(b)))
	g.redacting("made", "$.data.note")
	for _, source := range []string{"acme", "made"} {
		b.Run(fmt.Sprintf("source=%s", source), func(b *testing.B) {
			src, err := g.module.find(b.Context(), source)
			require.NoError(b, err)
			req := g.benchRequest()
			events, err := src.Spec.Normalize(req)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := src.payload(req, events, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
