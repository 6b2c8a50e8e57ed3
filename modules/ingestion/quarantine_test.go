package ingestion

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
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

func TestWhatIsKeptInQuarantine(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
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

func TestReleaseAfterTheSecretIsMended(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
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
				require.Contains(t, a.Error.Message, "It is refused still: none of 1 secrets matched.")
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
		require.NoError(t, db.Select(t.Context(), &everything, `SELECT request_headers || details FROM webhook_events, audit_entries`))
		require.NotContains(t, strings.Join(everything, ""), "the-new-secret")
	})
}

func TestAReleasedRequestIsARepeatWhenItsEventIsKnown(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
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
func TestTheToleranceIsJudgedAtTheTimeOfReceipt(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		at := newFakeClock()
		g := setup(t, db, func(_ *Config, d *Deps) { d.Now = at.now })
		a := g.manage(http.MethodPost, "/integrations", `{"source":"stripe","provider":"stripe","secrets":["whsec_the-first"]}`)
		require.Equal(t, http.StatusCreated, a.Status, "%+v", a.Error)
		var made Integration
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

func TestReleaseNeedsASourceThatTakesWebhooks(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	require.Equal(t, 401, g.sentTo("acme", "the-new-secret", "e1"))
	q := g.kept()[0]
	release := "/quarantine/" + q.ID + "/release"
	g.manage(http.MethodPatch, "/integrations/"+g.acme, `{"isActive":false}`)
	a := g.manage(http.MethodPost, release, "")
	require.Equal(t, http.StatusConflict, a.Status)
	require.Contains(t, a.Error.Message, "takes no webhooks")
	g.manage(http.MethodPatch, "/integrations/"+g.acme, `{"isActive":true}`)
	g.exec(`UPDATE integrations SET provider = 'initech' WHERE source = 'acme'`)
	a = g.manage(http.MethodPost, release, "")
	require.Equal(t, http.StatusConflict, a.Status)
	require.Contains(t, a.Error.Message, "cannot be used until its settings are mended")
	require.Equal(t, http.StatusNotFound, g.manage(http.MethodPost, "/quarantine/"+id.New()+"/release", "").Status)
}

func TestReleaseOfASource(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		for i := range 3 {
			require.Equal(t, 401, g.sentTo("acme", "the-new-secret", fmt.Sprint("e", i)))
		}
		require.Equal(t, 401, g.sentTo("acme", "nobodys-secret", "e9"))
		require.Equal(t, 401, g.sentTo("acme", "the-new-secret", "e0"), "the same again")
		require.Equal(t, 401, g.do(globexRequest(globexBody("1"), "wrong-token")).Status)
		require.Len(t, g.kept(), 6)
		g.manage(http.MethodPost, "/integrations/"+g.acme+"/secrets", `{"value":"the-new-secret"}`)

		requireFields(t, []string{"source: must name", "limit: from 1 to 1000"}, g.manage(http.MethodPost, "/quarantine/release", `{"limit":0}`).Error.Details)
		requireFields(t, []string{"sorce: is not a field"}, g.manage(http.MethodPost, "/quarantine/release", `{"sorce":"acme"}`).Error.Details)
		requireFields(t, []string{"reason: must be one of"}, g.manage(http.MethodPost, "/quarantine/release", `{"source":"acme","reason":"\u0000"}`).Error.Details)
		for _, c := range []struct{ body, want string }{
			{`{"source":"acme","limit":1}`, `{"matched":1,"released":1,"duplicates":0,"refused":{}}`},
			{`{"source":"acme","reason":"outside_tolerance"}`, `{"matched":0,"released":0,"duplicates":0,"refused":{}}`},
			{`{"source":"acme"}`, `{"matched":4,"released":2,"duplicates":1,"refused":{"no_match":1}}`},
			{`{"source":"acme"}`, `{"matched":1,"released":0,"duplicates":0,"refused":{"no_match":1}}`},
		} {
			a := g.manage(http.MethodPost, "/quarantine/release", c.body)
			require.Equal(t, http.StatusOK, a.Status)
			require.JSONEq(t, c.want, string(a.Data))
		}
		require.Len(t, g.kept(), 2, "what is refused still, and another source's")
	})
}

func TestQuarantineIsListedShownAndDeleted(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
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
		require.ElementsMatch(t, []string{"id", "source", "integrationId", "provider", "reason", "detail", "sourceIp", "correlationId", "size", "redacted", "receivedAt",
			"method", "url", "requestHeaders", "rawPayload", "rawBody"}, keys(o))

		require.Equal(t, http.StatusOK, g.manage(http.MethodDelete, "/quarantine/"+list[0].ID, "").Status)
		require.Equal(t, http.StatusNotFound, g.manage(http.MethodDelete, "/quarantine/"+list[0].ID, "").Status)
		require.Equal(t, http.StatusNotFound, g.get("/quarantine/"+list[0].ID).Status)
		require.Equal(t, http.StatusBadRequest, g.get("/quarantine/1").Status)
		require.Equal(t, []string{"quarantine.deleted"}, g.actions(list[0].ID))
	})
}

func mustBody(t *testing.T, o map[string]any) (body []byte) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(`"`+o["rawBody"].(string)+`"`), &body))
	return body
}

func TestQuarantineIsBounded(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
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
			return g
		}
		size := int64(len(acmeBody("e0")))

		g := fresh(Quarantine{Retention: time.Hour, PerSource: 3, BytesPerSource: 1 << 20})
		g.do(globexRequest(globexBody("1"), "wrong-token"))
		fill(g, 5, time.Second)
		list := g.kept()
		require.Len(t, list, 4, "three of acme, the oldest went first, and another source's")
		require.True(t, list[0].ReceivedAt.After(list[2].ReceivedAt.Time))
		require.Equal(t, "globex", list[3].Source)

		g = fresh(Quarantine{Retention: time.Hour, PerSource: 1000, BytesPerSource: 2 * size})
		fill(g, 5, time.Second)
		require.Len(t, g.kept(), 2, "in bytes")
		g = fresh(Quarantine{Retention: time.Hour, PerSource: 1000, BytesPerSource: size - 1})
		fill(g, 1, 0)
		require.Empty(t, g.kept(), "one that alone is too large")
		require.Equal(t, 1, g.module.cell.lost())

		g = fresh(Quarantine{Retention: time.Hour, PerSource: 1000, BytesPerSource: 1 << 20})
		at.pass(time.Minute)
		fill(g, maxPerMinute+5, 0)
		require.Len(t, g.kept(), maxPerMinute, "a flood fills no table")
		require.Equal(t, 5, g.module.cell.lost())
		at.pass(time.Minute)
		fill(g, 1, 0)
		require.Len(t, g.kept(), maxPerMinute+1, "and the next minute is another")

		g = fresh(Quarantine{})
		fill(g, 1, 0)
		require.Empty(t, g.kept(), "it is off")
		require.Zero(t, g.module.cell.lost())
	})
}

func TestWhatIsOldLeavesTheQuarantine(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
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

func TestWhatWaitsForQuarantineIsBoundedAndKeptWhileTheDatabaseIsAway(t *testing.T) {
	c := newCell(Quarantine{Retention: time.Hour, BytesPerSource: maxWaitingBytes})
	now := time.Now()
	require.True(t, c.admits("a", 1, now))
	c.add(quarantined{Body: make([]byte, maxWaitingBytes-1)})
	require.True(t, c.admits("a", 1, now), "the last byte")
	require.False(t, c.admits("a", 2, now), "and one more")
	taken := c.take()
	for range maxWaiting {
		c.add(quarantined{})
	}
	require.False(t, c.admits("b", 0, now))
	require.Equal(t, 2, c.lost())
	c.giveBack(taken)
	require.Equal(t, 1, c.lost(), "what came since has its place")
	require.Len(t, c.take(), maxWaiting)
	c.giveBack(taken)
	require.Equal(t, taken, c.take())
}
