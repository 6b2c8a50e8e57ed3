package ingestion

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/testkit"
)

// kept writes what waits and gives what is in quarantine, the newest first.
func (g *gateway) kept() (list []Quarantined) {
	g.t.Helper()
	require.NoError(g.t, g.module.flushQuarantine(g.t.Context()))
	a := g.get("/quarantine?pageSize=100")
	require.Equal(g.t, http.StatusOK, a.Status, "%+v", a.Error)
	require.NoError(g.t, json.Unmarshal(a.Data, &list))
	return list
}

func globexBody(eventID string) string {
	return `{"id":"` + eventID + `","type":"t","timestamp":"2026-01-31T12:00:00Z","resource":{"id":1}}`
}

func globexRequest(body, token string) *http.Request {
	r := request("globex", body)
	r.Header.Set("X-Globex-Token", token)
	return r
}

func TestWhatIsStoredInQuarantine(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		for _, c := range []struct {
			name   string
			send   *http.Request
			status int
			reason string // "" for not kept
			detail string
		}{
			{"a signature of no secret", acmeRequest(acmeBody("1"), "X-Acme-Signature", strings.Repeat("0", 64)), 401, "no_match", "none of 1 secrets matched"},
			{"no signature", request("acme", acmeBody("1")), 401, "missing_header", "missing header X-Acme-Signature"},
			{"a wrong token", globexRequest(globexBody("1"), "wrong-token"), 401, "no_match", "none of 1 secrets matched"},
			{"signed, and no JSON", acmeRequest("{"), 400, "malformed_json", "not well-formed JSON, at byte 1"},
			{"signed, and without an id", acmeRequest(`{"eventType":"t","occurredAt":"2026-01-31T12:00:00Z","data":{}}`), 400, "missing_field", "eventId is required"},
			{"a good one", acmeRequest(acmeBody("1")), 202, "", ""},
			{"an unknown source", request("nobody", "{}"), 404, "", ""},
			{"a body that is too large", acmeRequest(strings.Repeat(" ", 70<<10)), 413, "", ""},
			{"another content type", func() *http.Request { r := acmeRequest("x"); r.Header.Set("Content-Type", "text/plain"); return r }(), 415, "", ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				g := setup(t, db)
				g.exec(`DELETE FROM quarantine`)
				require.Equal(t, c.status, g.do(c.send).Status)
				require.Zero(t, g.count("quarantine"), "the refusal does not wait for it")
				list := g.kept()
				if c.reason == "" {
					require.Empty(t, list)
					return
				}
				require.Len(t, list, 1)
				require.Equal(t, "192.0.2.1", list[0].SourceIP)
				require.Contains(t, list[0].Detail, c.detail)
				require.Equal(t, c.reason, list[0].Reason)
			})
		}
	})
}

func TestReleaseAfterTheSecretIsFixed(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		for _, c := range []struct {
			name, integration string
			send              *http.Request
		}{
			{"a signature", g.acme, acmeRequest(acmeBody("q1"), "X-Acme-Signature", signWith("the-new-secret", acmeBody("q1")))},
			{"a token, which was kept as a keyed hash", g.globex, globexRequest(globexBody("q1"), "the-new-secret")},
		} {
			t.Run(c.name, func(t *testing.T) {
				g.exec(`DELETE FROM quarantine`)
				require.Equal(t, http.StatusUnauthorized, g.do(c.send).Status)
				q := g.kept()[0]
				release := "/quarantine/" + q.ID + "/release"
				a := g.manage(http.MethodPost, release, "")
				require.Equal(t, http.StatusConflict, a.Status, "nothing was mended")
				require.Contains(t, a.Error.Message, "Still refused: none of 1 secrets matched.")
				requireFields(t, []string{"reason: no_match"}, a.Error.Details)

				require.Equal(t, http.StatusCreated, g.manage(http.MethodPost, "/integrations/"+c.integration+"/secrets", `{"value":"the-new-secret"}`).Status)
				a = g.manage(http.MethodPost, release, "")
				require.Equal(t, http.StatusAccepted, a.Status, "%+v", a.Error)
				var r Released
				require.NoError(t, json.Unmarshal(a.Data, &r))
				require.Equal(t, "queued", r.Status)
				require.Equal(t, []string{"quarantine.released"}, g.actions(q.ID))
				event := g.get("/events/" + r.EventID).object(t)["event"].(map[string]any)
				require.Equal(t, q.ReceivedAt.String(), event["receivedAt"], "when it was received")
				require.Equal(t, q.CorrelationID, event["correlationId"])

				require.Equal(t, http.StatusNotFound, g.manage(http.MethodPost, release, "").Status, "it is there no more")
				require.Empty(t, g.kept())
			})
		}
		var everything []string
		require.NoError(t, db.Select(t.Context(), &everything, `SELECT details FROM audit_entries`))
		require.NotContains(t, strings.Join(append(everything, g.storedHeaders()...), ""), "the-new-secret")
	})
}

// A webhook that comes while its source is disabled is refused and not lost. Nothing that
// anybody could have sent is kept, and no answer tells strangers of the source.
func TestADisabledSourceKeepsWhatItVerifies(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.sources.change("acme", func(s *settings) { s.IsActive = false })
		unknown := g.do(request("nobody", acmeBody("d1")))
		for name, forged := range map[string]*http.Request{
			"unsigned":     request("acme", acmeBody("d1")),
			"wrong secret": acmeRequest(acmeBody("d1"), "X-Acme-Signature", signWith("wrong-secret", acmeBody("d1"))),
			"too large":    acmeRequest(strings.Repeat(" ", 70<<10)),
			"a GET":        httptest.NewRequest(http.MethodGet, "/api/v1/webhooks/acme", nil),
			"a HEAD":       httptest.NewRequest(http.MethodHead, "/api/v1/webhooks/acme", nil),
		} {
			a := g.do(forged)
			require.Equal(t, http.StatusNotFound, a.Status, name)
			if forged.Method == http.MethodPost {
				require.Equal(t, unknown.Error.Message, a.Error.Message, name)
			}
		}
		require.Empty(t, g.kept())

		for range 2 { // the provider tries again
			a := g.do(acmeRequest(acmeBody("d1")))
			require.Equal(t, http.StatusNotFound, a.Status)
			require.Equal(t, "The source acme is disabled and accepts no webhooks. Send this one again when it is enabled.", a.Error.Message)
		}
		list := g.kept()
		require.Len(t, list, 1)
		require.Equal(t, int64(1), list[0].Repeats)
		require.Equal(t, "source_disabled", list[0].Reason)
		require.Equal(t, "d1", *list[0].ExternalEventID)
		require.Zero(t, g.count("normalized_events"))

		release := "/quarantine/" + list[0].ID + "/release"
		a := g.manage(http.MethodPost, release, "")
		require.Equal(t, http.StatusConflict, a.Status)
		require.Contains(t, a.Error.Message, "enable it first")
		g.sources.change("acme", func(s *settings) { s.IsActive = true })
		a = g.manage(http.MethodPost, release, "")
		require.Equal(t, http.StatusAccepted, a.Status, "%+v", a.Error)
		require.Equal(t, 1, g.count("normalized_events"))
		require.Empty(t, g.kept())
	})
}

func TestADisabledSourceAnswersAndKeepsNoHandshake(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), atThen)
	g.addProvider("slack", sampleKey("slack"))
	spec, _ := provider.Builtin().Spec("slack")
	handshake := func() *http.Request {
		req := provider.Request{URL: "http://example.com/api/v1/webhooks/slack-source", Header: http.Header{"Content-Type": {"application/json"}},
			Body: []byte(`{"type":"url_verification","challenge":"c1"}`), ReceivedAt: then}
		require.NoError(t, spec.Verify.(provider.Signer).SignRequest(&req, sampleKey("slack")))
		return incoming(req)
	}
	require.Equal(t, http.StatusOK, g.plain(handshake()).Code)
	g.sources.change("slack-source", func(s *settings) { s.IsActive = false })
	require.Equal(t, http.StatusNotFound, g.plain(handshake()).Code)
	require.Empty(t, g.kept())
}

func TestAReleasedRequestIsADuplicateIfItsEventIsKnown(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		require.Equal(t, 401, g.sentTo("acme", "the-new-secret", "e1"))
		q := g.kept()[0]
		require.Equal(t, 202, g.sentTo("acme", acmeSecret, "e1"))
		g.manage(http.MethodPost, "/integrations/"+g.acme+"/secrets", `{"value":"the-new-secret"}`)
		a := g.manage(http.MethodPost, "/quarantine/"+q.ID+"/release", "")
		require.Equal(t, http.StatusOK, a.Status)
		require.Contains(t, string(a.Data), `"status":"duplicate"`)
		require.Equal(t, 1, g.count("normalized_events"))
		require.Empty(t, g.kept())
	})
}

// The signed time is held against the time of receipt: a release a day later changes
// nothing about it, and an option that allows more does.
func TestTheToleranceIsCheckedAtTheTimeOfReceipt(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		at := newFakeClock()
		g := setup(t, db, func(_ *Config, d *Deps) { d.Now = at.now })
		a := g.manage(http.MethodPost, "/integrations", `{"source":"stripe","provider":"stripe","secrets":["whsec_the-first"]}`)
		require.Equal(t, http.StatusCreated, a.Status, "%+v", a.Error)
		var made settings
		require.NoError(t, json.Unmarshal(a.Data, &made))
		send := func(eventID, secretText string, signedAgo time.Duration) {
			body := `{"id":"` + eventID + `","type":"charge.succeeded","created":1700000000,"data":{"object":{"id":"ch_1"}}}`
			stamp := at.now().Add(-signedAgo).Unix()
			r := request("stripe", body)
			r.Header.Set("Stripe-Signature", fmt.Sprintf("t=%d,v1=%s", stamp, signWith(secretText, fmt.Sprintf("%d.%s", stamp, body))))
			require.Equal(t, 401, g.do(r).Status)
		}
		send("late", "whsec_the-first", 712*time.Second)
		send("other", "whsec_the-second", 0)
		list := g.kept()
		require.Equal(t, "outside_tolerance", list[1].Reason)
		require.Contains(t, list[1].Detail, "412 s outside tolerance")

		at.pass(30 * time.Minute)
		require.Equal(t, 201, g.manage(http.MethodPost, "/integrations/"+made.ID+"/secrets", `{"value":"whsec_the-second"}`).Status)
		require.Equal(t, 202, g.manage(http.MethodPost, "/quarantine/"+list[0].ID+"/release", "").Status, "it was in time then")
		late := "/quarantine/" + list[1].ID + "/release"
		require.Equal(t, 409, g.manage(http.MethodPost, late, "").Status, "and this one was not")
		require.Equal(t, 200, g.manage(http.MethodPatch, "/integrations/"+made.ID, `{"options":{"toleranceSeconds":1000}}`).Status)
		require.Equal(t, 202, g.manage(http.MethodPost, late, "").Status)
	})
}

func TestReleaseNeedsAnActiveSource(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	require.Equal(t, 401, g.sentTo("acme", "the-new-secret", "e1"))
	q := g.kept()[0]
	release := "/quarantine/" + q.ID + "/release"
	g.manage(http.MethodPatch, "/integrations/"+g.acme, `{"isActive":false}`)
	a := g.manage(http.MethodPost, release, "")
	require.Equal(t, http.StatusConflict, a.Status)
	require.Contains(t, a.Error.Message, "accepts no webhooks")
	g.manage(http.MethodPatch, "/integrations/"+g.acme, `{"isActive":true}`)
	g.sources.change("acme", func(s *settings) { s.Provider = "initech" })
	a = g.manage(http.MethodPost, release, "")
	require.Equal(t, http.StatusConflict, a.Status)
	require.Contains(t, a.Error.Message, "cannot be used until its settings are fixed")
	require.Equal(t, http.StatusNotFound, g.manage(http.MethodPost, "/quarantine/"+id.New()+"/release", "").Status)
}

func TestReleaseOfASource(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		for i := range 3 {
			require.Equal(t, 401, g.sentTo("acme", "the-new-secret", fmt.Sprint("e", i)))
		}
		require.Equal(t, 401, g.sentTo("acme", "nobodys-secret", "e9"))
		require.Equal(t, 401, g.sentTo("acme", "the-new-secret", "e0"), "the same again")
		require.Equal(t, 401, g.do(globexRequest(globexBody("1"), "wrong-token")).Status)
		require.Len(t, g.kept(), 5, "what came twice is one")
		g.manage(http.MethodPost, "/integrations/"+g.acme+"/secrets", `{"value":"the-new-secret"}`)

		requireFields(t, []string{"limit: from 1 to 1000", "all: must be true to release all"}, g.manage(http.MethodPost, "/quarantine/release", `{"limit":0}`).Error.Details)
		requireFields(t, []string{"source: must name"}, g.manage(http.MethodPost, "/quarantine/release", `{"source":"A b"}`).Error.Details)
		requireFields(t, []string{"all: cannot be combined"}, g.manage(http.MethodPost, "/quarantine/release", `{"all":true,"sourceIp":"10.0.0.1"}`).Error.Details)
		requireFields(t, []string{"all: must be true"}, g.manage(http.MethodPost, "/quarantine/release", `{"source":"","dryRun":true}`).Error.Details)
		requireFields(t, []string{"sorce: is not a field"}, g.manage(http.MethodPost, "/quarantine/release", `{"sorce":"acme"}`).Error.Details)
		requireFields(t, []string{"reason: must be one of"}, g.manage(http.MethodPost, "/quarantine/release", `{"source":"acme","reason":"\u0000"}`).Error.Details)
		for _, c := range []struct{ body, want string }{
			{`{"all":true,"dryRun":true}`, `{"matched":5,"released":0,"duplicates":0,"refused":{},"skipped":0}`},
			{`{"source":"acme","dryRun":true,"limit":1}`, `{"matched":4,"released":0,"duplicates":0,"refused":{},"skipped":0}`},
			{`{"sourceIp":"203.0.113.77"}`, `{"matched":0,"released":0,"duplicates":0,"refused":{},"skipped":0}`},
			{`{"receivedTo":"2020-01-01T00:00:00Z"}`, `{"matched":0,"released":0,"duplicates":0,"refused":{},"skipped":0}`},
			{`{"externalEventId":"e9"}`, `{"matched":1,"released":0,"duplicates":0,"refused":{"no_match":1},"skipped":0}`},
			{`{"source":"acme","limit":1}`, `{"matched":1,"released":1,"duplicates":0,"refused":{},"skipped":0}`},
			{`{"source":"acme","reason":"outside_tolerance"}`, `{"matched":0,"released":0,"duplicates":0,"refused":{},"skipped":0}`},
			{`{"source":"acme"}`, `{"matched":3,"released":2,"duplicates":0,"refused":{"no_match":1},"skipped":0}`},
			{`{"source":"acme"}`, `{"matched":1,"released":0,"duplicates":0,"refused":{"no_match":1},"skipped":0}`},
		} {
			a := g.manage(http.MethodPost, "/quarantine/release", c.body)
			require.Equal(t, http.StatusOK, a.Status)
			require.JSONEq(t, c.want, string(a.Data))
		}
		require.Len(t, g.kept(), 2, "what is refused still, and another source's")
	})
}

// droppingAuditor deletes other requests from quarantine with the transaction of the first release.
type droppingAuditor struct {
	Auditor
	except string // the one that is released
}

func (d *droppingAuditor) Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error {
	if except := d.except; except != "" {
		d.except = ""
		if _, err := tx.Exec(ctx, "DELETE FROM quarantine WHERE id = (SELECT id FROM quarantine WHERE id > $1 ORDER BY id LIMIT 1)", except); err != nil {
			return err
		}
	}
	return d.Auditor.Record(ctx, tx, entries)
}

func TestAReleaseOfManySkipsWhatIsGoneMeanwhile(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		dropping := &droppingAuditor{}
		g := setup(t, db, func(_ *Config, d *Deps) { dropping.Auditor, d.Audit = d.Audit, dropping })
		for i := range 3 {
			require.Equal(t, 401, g.sentTo("acme", "the-new-secret", fmt.Sprint("e", i)))
		}
		kept := g.kept()
		require.Len(t, kept, 3)
		g.manage(http.MethodPost, "/integrations/"+g.acme+"/secrets", `{"value":"the-new-secret"}`)
		dropping.except = kept[2].ID // the oldest
		a := g.manage(http.MethodPost, "/quarantine/release", `{"all":true}`)
		require.Equal(t, http.StatusOK, a.Status)
		require.JSONEq(t, `{"matched":3,"released":2,"duplicates":0,"refused":{},"skipped":1}`, string(a.Data))
		require.Empty(t, g.kept())
	})
}

func TestQuarantineIsListedShownAndDeleted(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.sentTo("acme", "nobodys-secret", "e1")
		g.do(globexRequest(globexBody("1"), "wrong-token"))
		g.do(request("acme", acmeBody("e2")))
		require.Len(t, g.kept(), 3)
		for query, want := range map[string]int{"?source=acme": 2, "?source=acme&reason=no_match": 1, "?reason=missing_header": 1, "?source=nobody": 0, "?pageSize=2": 2, "?pageSize=2&page=2": 1} {
			ids, _ := g.get("/quarantine" + query).list(t)
			require.Len(t, ids, want, query)
		}
		first, meta := g.get("/quarantine?pageSize=2").list(t)
		rest, _ := g.get("/quarantine?pageSize=2&cursor=" + meta["nextCursor"].(string)).list(t)
		require.Len(t, append(first, rest...), 3)

		one := g.get("/quarantine?source=globex")
		var list []Quarantined
		require.NoError(t, json.Unmarshal(one.Data, &list))
		shown := g.get("/quarantine/" + list[0].ID)
		o := shown.object(t)
		require.Equal(t, globexBody("1"), string(mustBody(t, o)))
		require.Equal(t, "[redacted]", o["requestHeaders"].(map[string]any)["x-globex-token"])
		require.NotContains(t, string(shown.Data), "wrong-token")
		require.NotContains(t, string(shown.Data), "digest:")
		require.ElementsMatch(t, []string{"id", "source", "integrationId", "provider", "reason", "detail", "externalEventId", "sourceIp", "correlationId", "size", "redacted", "receivedAt", "repeats", "lastReceivedAt",
			"method", "url", "requestHeaders", "rawPayload", "rawBody"}, keys(o))

		require.Equal(t, http.StatusOK, g.manage(http.MethodDelete, "/quarantine/"+list[0].ID, "").Status)
		require.Equal(t, http.StatusNotFound, g.manage(http.MethodDelete, "/quarantine/"+list[0].ID, "").Status)
		require.Equal(t, http.StatusNotFound, g.get("/quarantine/"+list[0].ID).Status)
		require.Equal(t, http.StatusBadRequest, g.get("/quarantine/1").Status)
		require.Equal(t, []string{"quarantine.deleted"}, g.actions(list[0].ID))
	})
}

func TestTheQuarantineIsGroupedBySourceAndReason(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		groups := func(query string) (all QuarantineGroups) {
			require.NoError(t, json.Unmarshal(g.get("/quarantine/groups"+query).Data, &all))
			return all
		}
		require.Equal(t, QuarantineGroups{Groups: []QuarantineGroup{}, Dropped: []QuarantineDropOf{}}, groups(""))
		for i := range 7 {
			g.sentTo("acme", "nobodys-secret", fmt.Sprint("e", i))
		}
		g.sentTo("acme", "nobodys-secret", "e3")
		g.do(request("acme", acmeBody("e9")))
		g.do(globexRequest(globexBody("1"), "wrong-token"))
		g.do(globexRequest(globexBody("2"), "wrong-token"))
		list := g.kept()
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE quarantine SET redacted = true WHERE source = 'globex' AND id = (SELECT id FROM quarantine WHERE source = 'globex' ORDER BY id LIMIT 1)`)
			return err
		}))
		all := groups("")
		require.Equal(t, []any{10, false}, []any{all.Grouped, all.More})
		require.Len(t, all.Groups, 3)
		first := all.Groups[0]
		require.Equal(t, []any{"acme", "no_match", 7, int64(1), 7}, []any{first.Source, first.Reason, first.Count, first.Repeats, first.Releasable})
		require.Len(t, first.Newest, database.NewestOfGroup)
		require.Equal(t, list[3].ID, first.Newest[0].ID, "the newest comes first: two of globex and one without a signature are newer")
		require.Equal(t, []any{list[9].ReceivedAt, list[3].ReceivedAt}, []any{first.First, first.Last})
		require.Equal(t, []any{"globex", 2, 1}, []any{all.Groups[1].Source, all.Groups[1].Count, all.Groups[1].Releasable})
		require.Equal(t, "missing_header", all.Groups[2].Reason)
		require.Len(t, groups("?source=globex").Groups, 1)
		require.Empty(t, groups("?reason=outside_tolerance").Groups)
	})
}

func mustBody(t *testing.T, o map[string]any) (body []byte) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(`"`+o["rawBody"].(string)+`"`), &body))
	return body
}

func TestQuarantineIsBounded(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		at := newFakeClock()
		fill := func(g *gateway, n int, pause time.Duration) {
			for i := range n {
				at.pass(pause)
				require.Equal(t, 401, g.sentTo("acme", "nobodys-secret", fmt.Sprint("e", i)))
			}
		}
		fresh := func(q Quarantine) *gateway {
			g := setup(t, db, func(c *Config, d *Deps) { c.Quarantine, d.Now = q, at.now })
			g.exec(`DELETE FROM quarantine`)
			g.exec(`DELETE FROM quarantine_drops`)
			return g
		}
		summary := func(g *gateway) (all []QuarantineSummary) {
			require.NoError(t, json.Unmarshal(g.get("/quarantine/summary?source=acme").Data, &all))
			return all
		}
		const plenty = 1 << 20

		g := fresh(Quarantine{Retention: time.Hour, PerSource: 3, BytesPerSource: plenty, BytesPerMinute: plenty})
		g.do(globexRequest(globexBody("1"), "wrong-token"))
		fill(g, 5, time.Second)
		list := g.kept()
		require.Len(t, list, 4, "three of acme, the oldest went first, and another source's")
		require.True(t, list[0].ReceivedAt.After(list[2].ReceivedAt.Time))
		require.Equal(t, "globex", list[3].Source)
		sum := summary(g)[0]
		require.EqualValues(t, 3, sum.Requests)
		require.Equal(t, map[string]int64{dropSource: 2}, sum.Dropped.Causes)
		one := sum.Bytes / 3

		g = fresh(Quarantine{Retention: time.Hour, PerSource: 1000, BytesPerSource: 2*one + one/2, BytesPerMinute: plenty})
		fill(g, 5, time.Second)
		require.Len(t, g.kept(), 2, "in bytes, as they are stored")
		g = fresh(Quarantine{Retention: time.Hour, PerSource: 1000, BytesPerSource: one / 2, BytesPerMinute: plenty})
		fill(g, 1, 0)
		require.Empty(t, g.kept(), "one that alone is too large")
		require.EqualValues(t, 1, g.module.quarantine.takeDropCount())
		require.NoError(t, g.module.flushQuarantine(t.Context()))
		require.Equal(t, map[string]int64{dropTooBig: 1}, summary(g)[0].Dropped.Causes)

		g = fresh(Quarantine{Retention: time.Hour, PerSource: 1000, BytesPerSource: plenty, BytesPerMinute: 11*one + one/2})
		at.pass(time.Minute)
		spread := func(n int) {
			for i := range n {
				require.Equal(t, 401, g.refusedFrom(fmt.Sprintf("10.0.%d.1", i), fmt.Sprint("e", i)))
			}
		}
		spread(15)
		require.Len(t, g.kept(), 10, "a flood fills no table")
		spread(7)
		require.Len(t, g.kept(), 10, "and once the minute's bytes are spent nothing is looked at")
		require.NoError(t, g.module.flushQuarantine(t.Context()))
		dropped := summary(g)[0].Dropped
		require.EqualValues(t, 12, dropped.Requests)
		require.EqualValues(t, 15+7-10, dropped.Causes[dropMinute])
		require.NotZero(t, dropped.Bytes)
		require.NotNil(t, dropped.LastHour)
		at.pass(time.Minute)
		fill(g, 1, 0)
		require.NoError(t, g.module.flushQuarantine(t.Context()))
		require.EqualValues(t, 1, summary(g)[0].Repeats, "the next minute is another, and what is kept is not kept twice")
		at.pass(3 * time.Hour)
		require.Empty(t, g.kept())
		require.Empty(t, summary(g), "counts are kept as long as requests")

		g = fresh(Quarantine{})
		fill(g, 1, 0)
		require.Empty(t, g.kept(), "it is off")
		require.Zero(t, g.module.quarantine.takeDropCount())
	})
}

// refusedFrom sends a webhook that acme did not sign, from another address.
func (g *gateway) refusedFrom(ip, eventID string) int {
	body := acmeBody(eventID)
	r := acmeRequest(body, "X-Acme-Signature", signWith("nobodys-secret", body))
	r.RemoteAddr = ip + ":1"
	return g.do(r).Status
}

// networksOf counts what is in quarantine by the first three numbers of the address.
func (g *gateway) networksOf() map[string]int {
	counts := map[string]int{}
	for _, q := range g.kept() {
		counts[q.SourceIP[:strings.LastIndexByte(q.SourceIP, '.')]]++
	}
	return counts
}

// One stranger spent all that could be kept of a source in a minute, and the genuine requests
// of a secret that was rotated at the provider alone were not kept.
func TestOneNetworkCannotFillTheQuarantine(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		at := newFakeClock()
		fresh := func(q Quarantine) *gateway {
			g := setup(t, db, func(c *Config, d *Deps) { c.Quarantine, c.FailureLimitPerMinute, d.Now = q, 0, at.now })
			g.exec(`DELETE FROM quarantine`)
			g.exec(`DELETE FROM quarantine_drops`)
			return g
		}
		summary := func(g *gateway) QuarantineSummary {
			var all []QuarantineSummary
			require.NoError(t, json.Unmarshal(g.get("/quarantine/summary?source=acme").Data, &all))
			return all[0]
		}
		const plenty = 1 << 20
		g := fresh(Quarantine{Retention: time.Hour, PerSource: 1000, BytesPerSource: plenty, BytesPerMinute: plenty})
		require.Equal(t, 401, g.refusedFrom("10.0.10.1", "e10"))
		require.Len(t, g.kept(), 1)
		one := summary(g).Bytes
		send := func(g *gateway, network string, n int) {
			for i := range n {
				require.Equal(t, 401, g.refusedFrom(fmt.Sprintf("10.0.%s.%d", network, i%3+1), fmt.Sprintf("e%s%02d", network, i)))
			}
		}

		g = fresh(Quarantine{Retention: time.Hour, PerSource: 1000, BytesPerSource: plenty, BytesPerMinute: 21*one + one/2})
		at.pass(time.Minute)
		send(g, "1", 30)
		require.Equal(t, map[string]int{"10.0.1": 10}, g.networksOf(), "half of the minute, from whichever of its addresses")
		send(g, "2", 30)
		send(g, "3", 3)
		require.Equal(t, map[string]int{"10.0.1": 10, "10.0.2": 5, "10.0.3": 3}, g.networksOf(), "and then a quarter at most")
		send(g, "1", 40)
		require.Equal(t, map[string]int{"10.0.1": 10, "10.0.2": 5, "10.0.3": 3}, g.networksOf())
		require.NoError(t, g.module.flushQuarantine(t.Context()))
		sum := summary(g)
		require.EqualValues(t, 18, sum.Requests)
		require.Equal(t, map[string]int64{dropMinute: 20 + 25 + 40}, sum.Dropped.Causes, "what is dropped is counted")
		at.pass(time.Minute)
		require.Equal(t, 401, g.refusedFrom("10.0.1.1", "new"))
		require.Equal(t, 11, g.networksOf()["10.0.1"], "a new minute")

		g = fresh(Quarantine{Retention: time.Hour, PerSource: 12, BytesPerSource: plenty, BytesPerMinute: plenty})
		send(g, "2", 4)
		at.pass(time.Second)
		for range 3 {
			send(g, "1", 30)
			at.pass(time.Minute)
			require.Equal(t, map[string]int{"10.0.1": 8, "10.0.2": 4}, g.networksOf(), "of the network with the most the oldest go first")
		}
	})
}

func TestRequestsThatExceedASourcesBounds(t *testing.T) {
	row := func(id, ip string, stored int64) storedRequest {
		return storedRequest{ID: id, SourceIP: ip, Stored: stored}
	}
	const a, a2, b, c, v6, v6too = "192.0.2.1", "192.0.2.2", "198.51.100.1", "203.0.113.1", "2001:db8:1::1", "2001:db8:1:ffff::1"
	for _, w := range []struct {
		name   string
		number int
		bytes  int64
		rows   []storedRequest // the newest first
		want   []string
	}{
		{"what is within both bounds", 3, 30, []storedRequest{row("3", a, 10), row("2", a, 10), row("1", a, 10)}, nil},
		{"the oldest of one network", 2, 30, []storedRequest{row("3", a, 10), row("2", a, 10), row("1", a, 10)}, []string{"1"}},
		{"in bytes", 3, 29, []storedRequest{row("3", a, 10), row("2", a, 10), row("1", a, 10)}, []string{"1"}},
		{"nothing of the one that has less, though it is older", 3, 100, []storedRequest{row("4", a, 10), row("3", a2, 10), row("2", a, 10), row("1", b, 10)}, []string{"2"}},
		{"an equal share each, with which most go", 4, 100, []storedRequest{row("7", a, 10), row("6", a, 10), row("5", a, 10), row("4", b, 10), row("3", b, 10), row("2", b, 10), row("1", c, 10)}, []string{"2", "3", "5"}},
		{"a network of 48 bits is one", 2, 100, []storedRequest{row("3", v6, 10), row("2", v6too, 10), row("1", a, 10)}, []string{"2"}},
		{"the large ones of a network go before many small ones of another", 10, 60, []storedRequest{row("4", a, 40), row("3", b, 10), row("2", b, 10), row("1", b, 10)}, []string{"4"}},
	} {
		t.Run(w.name, func(t *testing.T) {
			require.Equal(t, w.want, Quarantine{PerSource: w.number, BytesPerSource: w.bytes}.excess(w.rows))
		})
	}
}

func TestExpiredRequestsLeaveTheQuarantine(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		at := newFakeClock()
		g := setup(t, db, func(_ *Config, d *Deps) { d.Now = at.now })
		require.Equal(t, 401, g.sentTo("acme", "nobodys-secret", "e1"))
		require.Len(t, g.kept(), 1)
		at.pass(time.Hour)
		require.Len(t, g.kept(), 1, "an hour is what it is kept")
		at.pass(time.Minute)
		require.Empty(t, g.kept(), "without anything new to write")
	})
}

func TestTheQuarantineBufferIsBoundedAndSurvivesAnOutage(t *testing.T) {
	b := newQuarantineBuffer(Quarantine{Retention: time.Hour, BytesPerSource: 2 * maxWaitingBytes, BytesPerMinute: 2 * maxWaitingBytes})
	now := time.Now()
	next := uint64(0)
	key := func() uint64 { next++; return next }
	here := holder{"a", "here"}
	from := func(i int) quarantined {
		return quarantined{Quarantined: Quarantined{SourceIP: fmt.Sprintf("10.%d.%d.1", i>>8, i&255)}}
	}
	require.True(t, b.admits(key(), here, 1, now))
	large := from(0)
	large.Body = make([]byte, maxWaitingBytes/2)
	b.add(key(), large)
	require.True(t, b.admits(key(), here, maxWaitingBytes/4, now), "the last byte of a quarter")
	require.False(t, b.admits(key(), here, maxWaitingBytes/4+1, now), "and one more")
	taken, drops := b.take()
	require.Len(t, drops, 1)
	for range maxWaiting {
		b.add(key(), from(0))
	}
	require.Len(t, b.waiting, maxWaiting/2, "one network leaves the others their share")
	require.EqualValues(t, 1+maxWaiting/2, b.takeDropCount())
	require.False(t, b.admits(key(), holder{"a", "10.0.0.0/24"}, 0, now))
	require.True(t, b.admits(key(), holder{"a", "10.0.1.0/24"}, 0, now))
	for i := range maxWaiting {
		b.add(key(), from(1+i))
	}
	require.Len(t, b.waiting, maxWaiting)
	require.False(t, b.admits(key(), holder{"b", "there"}, 0, now))
	require.EqualValues(t, 2+maxWaiting/2, b.takeDropCount())
	b.putBack(taken, drops)
	require.EqualValues(t, 1, b.takeDropCount(), "what came since has its place")
	since, drops := b.take()
	require.Len(t, since, maxWaiting)
	require.Len(t, drops, 3)
	b.putBack(taken, nil)
	again, _ := b.take()
	require.Equal(t, taken, again)
}

func TestRepeatsAreCountedAndAGenuineRequestIsNoRepeatOfAForgery(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		here, there := setup(t, db), setup(t, db)
		body := acmeBody("q1")
		forged := acmeRequest(body, "X-Acme-Signature", strings.Repeat("0", 64))
		genuine := func() *http.Request {
			return acmeRequest(body, "X-Acme-Signature", signWith("the-new-secret", body))
		}
		require.Equal(t, 401, here.do(forged).Status)
		for range 3 {
			require.Equal(t, 401, here.do(genuine()).Status)
		}
		require.Len(t, here.kept(), 2)
		for range 2 {
			require.Equal(t, 401, there.do(genuine()).Status)
		}
		list := there.kept()
		require.Len(t, list, 2, "also when it came by way of another process, and later")
		require.EqualValues(t, 4, list[0].Repeats)
		require.NotNil(t, list[0].LastReceivedAt)
		require.True(t, list[0].LastReceivedAt.After(list[0].ReceivedAt.Time))
		require.Zero(t, list[1].Repeats)
		require.Nil(t, list[1].LastReceivedAt)
		here.manage(http.MethodPost, "/integrations/"+here.acme+"/secrets", `{"value":"the-new-secret"}`)
		require.Equal(t, 409, here.manage(http.MethodPost, "/quarantine/"+list[1].ID+"/release", "").Status)
		require.Equal(t, 202, here.manage(http.MethodPost, "/quarantine/"+list[0].ID+"/release", "").Status)
	})
}

// Bodies of 5 kB that unpack to 5 MB, 1.6 MB in all, made 150 MB of write-ahead log. Here all
// is a sixteenth of that.
func TestStoredRefusedRequestsAreBoundedByBytes(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		const perMinute, size = 256 << 10, 320 << 10
		at := newFakeClock()
		g := setup(t, db, func(c *Config, d *Deps) {
			c.MaxBodyBytes, c.FailureLimitPerMinute, d.Now = size, 0, at.now
			c.Quarantine = Quarantine{Retention: time.Hour, PerSource: 50_000, BytesPerSource: 256 << 20, BytesPerMinute: perMinute}
		})
		g.exec(`DELETE FROM quarantine`)
		sent := 0
		for i := range 60 {
			body := []byte(fmt.Sprintf(`{"n":%d,"x":"%s"}`, i, strings.Repeat("x", size-40)))
			wire := packed(t, body)
			sent += len(wire)
			r := request("acme", string(wire))
			r.Header.Set("Content-Encoding", "gzip")
			r.Header.Set("X-Acme-Signature", strings.Repeat("0", 64))
			require.Equal(t, http.StatusUnauthorized, g.do(r).Status)
			if i%5 == 4 {
				require.NoError(t, g.module.flushQuarantine(t.Context()))
			}
		}
		require.NoError(t, g.module.flushQuarantine(t.Context()))
		var bytes int
		require.NoError(t, db.Get(t.Context(), &bytes, `SELECT COALESCE(sum(length(raw_body) + length(request_headers)), 0) FROM quarantine`))
		t.Logf("%d bytes were sent, %d of bodies, %d are stored in %d rows", sent, 60*size, bytes, g.count("quarantine"))
		require.Less(t, bytes, perMinute)
		var all []QuarantineSummary
		require.NoError(t, json.Unmarshal(g.get("/quarantine/summary").Data, &all))
		require.EqualValues(t, 60, all[0].Requests+all[0].Dropped.Requests, "what is not kept is counted")
	})
}

// An hour of a rotated secret at ten webhooks a second is kept whole by the defaults: of six
// minutes nothing is dropped, and ten times as much is within the bounds of a source.
func TestTheQuarantineHoldsAnHourOfARotatedSecret(t *testing.T) {
	const perSecond, seconds, perSource, bytesPerSource = 10, 360, 50_000, 256 << 20
	db := testkit.Open(t, testkit.SQLite(t))
	at := newFakeClock()
	g := setup(t, db, func(c *Config, d *Deps) {
		c.FailureLimitPerMinute, d.Now = 0, at.now
		c.Quarantine = Quarantine{Retention: 168 * time.Hour, PerSource: perSource, BytesPerSource: bytesPerSource, BytesPerMinute: 4 << 20}
	})
	filler := strings.Repeat(`{"name":"a line of an order","quantity":2,"price":"9.90"},`, 20)
	for second := range seconds {
		for i := range perSecond {
			body := fmt.Sprintf(`{"eventId":"evt_%d_%d","eventType":"order.created","occurredAt":"2026-01-31T12:00:00Z","data":{"id":"d1","lines":[%s{}]}}`, second, i, filler)
			r := acmeRequest(body, "X-Acme-Signature", signWith("the-new-secret", body))
			if status := g.do(r).Status; status != http.StatusUnauthorized {
				require.Equal(t, http.StatusUnauthorized, status)
			}
		}
		at.pass(time.Second)
		if second%60 == 59 {
			require.NoError(t, g.module.flushQuarantine(t.Context()))
		}
	}
	require.Equal(t, perSecond*seconds, g.count("quarantine"))
	require.Zero(t, g.count("quarantine_drops"))
	var all []QuarantineSummary
	require.NoError(t, json.Unmarshal(g.get("/quarantine/summary").Data, &all))
	require.LessOrEqual(t, 10*all[0].Requests, int64(perSource))
	require.LessOrEqual(t, 10*all[0].Bytes, int64(bytesPerSource))
}

// Equal bodies are different events where a header says so: one of three was kept.
func TestRequestsThatDifferInTheirIDAreNoRepeats(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	made := g.manage(http.MethodPost, "/integrations", `{"source":"ticks","provider":"generic","secrets":["the-old-secret"],
		"options":{"generic":{"scheme":"token","signature":{"header":"X-Token"},"event":{"id":"header:X-Event-Id","type":"$.type"}}}}`)
	require.Equal(t, 201, made.Status, made.Error.Message)
	for _, id := range []string{"1", "2", "3", "3"} {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/webhooks/ticks", strings.NewReader(`{"type":"tick"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Token", "the-new-secret")
		r.Header.Set("X-Event-Id", id)
		require.Equal(t, 401, g.do(r).Status)
	}
	require.Len(t, g.kept(), 3)
}

func TestARefusedRequestIsFoundByTheIDThatItClaims(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		forged := strings.Repeat("0", 64)
		large := strings.Replace(acmeBody("big"), "{", `{"x":"`+strings.Repeat("x", maxIdentified)+`",`, 1)
		require.Greater(t, len(large), maxIdentified)
		g.module.cfg.MaxBodyBytes = 1 << 20
		for _, body := range []string{acmeBody("1"), acmeBody("2"), large, `{"eventId":`} {
			require.GreaterOrEqual(t, g.do(acmeRequest(body, "X-Acme-Signature", forged)).Status, 400)
		}
		require.Len(t, g.kept(), 4)
		var found []Quarantined
		claimed := g.kept()
		ids := 0
		for _, q := range claimed {
			if q.ExternalEventID == nil {
				continue
			}
			ids++
			a := g.get("/quarantine?externalEventId=" + url.QueryEscape(*q.ExternalEventID))
			require.NoError(t, json.Unmarshal(a.Data, &found))
			require.Len(t, found, 1)
			require.Equal(t, q.ID, found[0].ID)
		}
		require.Equal(t, 2, ids, "neither of the large one, nor of what is no JSON")
		require.Equal(t, "[]", string(g.get("/quarantine?externalEventId=nobody").Data))
	})
}
