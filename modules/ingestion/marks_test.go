package ingestion

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/ingestion/spool"
	"integration-gateway/platform/database"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/testkit"
)

// twice is a body of acme in which data.total stands twice.
func twice(eventID string) string {
	return strings.Replace(acmeBody(eventID), `"id":"d1"`, `"id":"d1","lines":[{"total":1,"t\u006ftal":100}]`, 1)
}

// marksOf gives an event's marks, as the API shows them.
func (g *gateway) marksOf(eventID string) (marks []mark) {
	g.t.Helper()
	var shown struct {
		Webhook struct {
			Marks json.RawMessage `json:"marks"`
		} `json:"webhook"`
	}
	a := g.get("/events/" + eventID)
	require.NoError(g.t, json.Unmarshal(a.Data, &shown))
	require.NoError(g.t, json.Unmarshal(shown.Webhook.Marks, &marks))
	return marks
}

func TestABodyWithDuplicateKeysIsMarked(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		plain := g.do(acmeRequest(acmeBody("e1"))).receipt(t)
		require.Equal(t, []mark{}, g.marksOf(plain.EventID), "a list without any")
		require.Zero(t, g.count("webhook_events WHERE marks IS NOT NULL"))

		r := g.do(acmeRequest(twice("e2")))
		require.Equal(t, http.StatusAccepted, r.Status, "it is stored all the same")
		require.Equal(t, []mark{{duplicateKeys, "$.data.lines[0].total"}}, g.marksOf(r.receipt(t).EventID))
		var details []string
		require.NoError(t, db.Select(t.Context(), &details, `SELECT details FROM audit_entries WHERE action = 'webhook.marked'`))
		require.Len(t, details, 1)
		require.Contains(t, details[0], `"marks":["duplicate_keys"]`)
		require.NotContains(t, details[0], "total", "the trail outlives an erasure, and members' names may be data")

		g.sources.change("acme", func(s *settings) { s.Options.DuplicateKeys = provider.IgnoreKeys })
		r = g.do(acmeRequest(twice("e3")))
		require.Empty(t, g.marksOf(r.receipt(t).EventID))
	})
}

func TestABodyWithDuplicateKeysMayBeQuarantinedAndReleased(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.sources.change("acme", func(s *settings) { s.Options.DuplicateKeys = provider.QuarantineKeys })
		require.Equal(t, http.StatusAccepted, g.do(acmeRequest(acmeBody("e1"))).Status)
		a := g.do(acmeRequest(twice("e2")))
		require.Equal(t, http.StatusBadRequest, a.Status)
		require.NotContains(t, a.Error.Message, "$", "where it is, is for the operator")
		kept := g.kept()
		require.Len(t, kept, 1)
		require.Equal(t, []string{duplicateKeys, "a member stands twice in the body, at $.data.lines[0].total"}, []string{kept[0].Reason, kept[0].Detail})
		require.Equal(t, 1, g.count("normalized_events"))

		released := g.release(kept[0].ID)
		require.Equal(t, http.StatusAccepted, released.Status, "%+v", released.Error)
		var r Released
		require.NoError(t, json.Unmarshal(released.Data, &r))
		require.Equal(t, []mark{{duplicateKeys, "$.data.lines[0].total"}}, g.marksOf(r.EventID))
		require.Empty(t, g.kept())

		repeat := g.do(acmeRequest(twice("e2")))
		require.Equal(t, http.StatusOK, repeat.Status, "its provider sends it again: %+v", repeat.Error)
		require.Equal(t, r.EventID, repeat.receipt(t).EventID)
		require.Empty(t, g.kept())
	})
}

// What a quarantine could not give back is stored with its mark.
func TestWhatTheQuarantineWouldLoseIsMarked(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		redacting := setup(t, db)
		redacting.sources.change("acme", func(s *settings) {
			s.Redact, s.Options.DuplicateKeys = []string{"$.data.people"}, provider.QuarantineKeys
		})
		r := redacting.do(acmeRequest(twice("e1")))
		require.Equal(t, http.StatusAccepted, r.Status, "%+v", r.Error)
		require.Equal(t, []mark{{duplicateKeys, ""}}, redacting.marksOf(r.receipt(t).EventID))

		without := setup(t, db, func(cfg *Config, _ *Deps) { cfg.Quarantine.Retention = 0 })
		without.sources.change("acme", func(s *settings) { s.Options.DuplicateKeys = provider.QuarantineKeys })
		r = without.do(acmeRequest(twice("e2")))
		require.Equal(t, http.StatusAccepted, r.Status, "%+v", r.Error)
		require.Len(t, without.marksOf(r.receipt(t).EventID), 1)
	})
}

// A verified webhook is no attack: its network is not told to wait.
func TestWhatIsVerifiedDoesNotCountAsRefused(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(cfg *Config, _ *Deps) { cfg.FailureLimitPerMinute = 2 })
	g.sources.change("acme", func(s *settings) { s.Options.DuplicateKeys = provider.QuarantineKeys })
	for i := range 5 {
		require.Equal(t, http.StatusBadRequest, g.do(acmeRequest(twice(fmt.Sprintf("e%d", i)))).Status)
	}
}

// An erasure removes a mark's path with the body: the names of members may be data.
func TestAnErasureRemovesTheMarks(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		r := g.do(acmeRequest(twice("e1"))).receipt(t)
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
			_, err := g.module.Forget(t.Context(), tx, []string{r.EventID})
			return err
		}))
		require.Empty(t, g.marksOf(r.EventID))
		require.Zero(t, g.count("webhook_events WHERE marks IS NOT NULL"))
	})
}

func TestAMarkOfARedactingSourceSaysNotWhere(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.sources.change("acme", func(s *settings) { s.Redact = []string{"$.data.people"} })
		body := strings.Replace(acmeBody("e1"), `"id":"d1"`, `"id":"d1","people":{"ann@example.com":1,"ann@example.com":2}`, 1)
		r := g.do(acmeRequest(body)).receipt(t)
		require.Equal(t, []mark{{duplicateKeys, ""}}, g.marksOf(r.EventID))
		g.sources.change("acme", func(s *settings) { s.Options.DuplicateKeys = provider.QuarantineKeys })
		r = g.do(acmeRequest(strings.Replace(body, "e1", "e2", 1))).receipt(t)
		require.Equal(t, []mark{{duplicateKeys, ""}}, g.marksOf(r.EventID), "its quarantine would keep no body")
		for _, column := range []string{"details FROM audit_entries", "detail FROM quarantine"} {
			var texts []string
			require.NoError(t, db.Select(t.Context(), &texts, "SELECT "+column))
			require.NotContains(t, strings.Join(texts, "\n"), "ann@example.com")
		}
	})
}

func TestTheSpoolKeepsMarks(t *testing.T) {
	w := verifiedWebhook{source: &source{Source: &provider.Source{}}, storedPayload: storedPayload{events: []draft{{}}, marks: []mark{{duplicateKeys, "$.a"}}}}
	text, err := json.Marshal(w.forSpool())
	require.NoError(t, err)
	var s spool.Webhook
	require.NoError(t, json.Unmarshal(text, &s))
	require.Equal(t, `[{"mark":"duplicate_keys","detail":"$.a"}]`, *s.Marks)
	w.marks = nil
	require.Nil(t, w.forSpool().Marks)
}

// priced is a schema of acme's data, in which total is a number.
var priced = json.RawMessage(`{"required":["id"],"properties":{"total":{"type":"number"},"people":{"additionalProperties":{"type":"string"}}}}`)

func withTotal(eventID, total string) string {
	return strings.Replace(acmeBody(eventID), `"id":"d1"`, `"id":"d1","total":`+total, 1)
}

func TestAnEventThatDoesNotFitItsSchemaIsMarked(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.sources.change("acme", func(s *settings) {
			s.Options.Schemas = []provider.EventSchema{{EventType: "order.created", Schema: priced}, {Schema: json.RawMessage(`false`), OnMismatch: provider.QuarantineKeys}}
		})
		require.Equal(t, []mark{}, g.marksOf(g.do(acmeRequest(withTotal("e1", `1.5`))).receipt(t).EventID))
		r := g.do(acmeRequest(withTotal("e2", `"1.5"`)))
		require.Equal(t, http.StatusAccepted, r.Status)
		require.Equal(t, []mark{{schemaMismatch, "type, at $.data.total"}}, g.marksOf(r.receipt(t).EventID))
		r = g.do(acmeRequest(withTotal("e3", `"1","total":"2"`)))
		require.Equal(t, []string{duplicateKeys, schemaMismatch}, []string{g.marksOf(r.receipt(t).EventID)[0].Mark, g.marksOf(r.receipt(t).EventID)[1].Mark})
		other := strings.Replace(acmeBody("e4"), "order.created", "order.paid", 1)
		require.Equal(t, http.StatusBadRequest, g.do(acmeRequest(other)).Status, "of a type without a schema of its own")
		require.Equal(t, schemaMismatch, g.kept()[0].Reason)
	})
}

func TestAnEventThatDoesNotFitMayBeQuarantinedAndReleased(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		quarantine := func(schema json.RawMessage) {
			g.sources.change("acme", func(s *settings) {
				s.Options.Schemas = []provider.EventSchema{{Schema: schema, OnMismatch: provider.QuarantineKeys}}
			})
		}
		quarantine(priced)
		a := g.do(acmeRequest(withTotal("e1", `"1.5"`)))
		require.Equal(t, http.StatusBadRequest, a.Status)
		require.NotContains(t, a.Error.Message, "total")
		require.Equal(t, http.StatusAccepted, g.do(acmeRequest(withTotal("e2", `1.5`))).Status)
		kept := g.kept()
		require.Len(t, kept, 1)
		require.Equal(t, "an event does not fit the schema of its type: type, at $.data.total", kept[0].Detail)
		released := g.release(kept[0].ID)
		require.Equal(t, http.StatusAccepted, released.Status, "%+v", released.Error)
		var r Released
		require.NoError(t, json.Unmarshal(released.Data, &r))
		require.Equal(t, []mark{{schemaMismatch, "type, at $.data.total"}}, g.marksOf(r.EventID))

		require.Equal(t, http.StatusBadRequest, g.do(acmeRequest(withTotal("e3", `"1.5"`))).Status)
		quarantine(json.RawMessage(`{}`))
		released = g.release(g.kept()[0].ID)
		require.Equal(t, http.StatusAccepted, released.Status)
		require.NoError(t, json.Unmarshal(released.Data, &r))
		require.Empty(t, g.marksOf(r.EventID), "the schema was mended")
	})
}

func TestAMismatchOfARedactingSourceSaysNotWhere(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.sources.change("acme", func(s *settings) {
			s.Redact, s.Options.Schemas = []string{"$.data.people"}, []provider.EventSchema{{Schema: priced}}
		})
		body := strings.Replace(acmeBody("e1"), `"id":"d1"`, `"id":"d1","people":{"ann@example.com":1}`, 1)
		r := g.do(acmeRequest(body)).receipt(t)
		require.Equal(t, []mark{{schemaMismatch, "type"}}, g.marksOf(r.EventID), "it is checked as it was sent")
	})
}
