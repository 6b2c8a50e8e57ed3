package ingestion

import (
	"encoding/base64"
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
	"integration-gateway/platform/testkit"
)

func (a answer) object(t *testing.T) (o map[string]any) {
	t.Helper()
	require.Equal(t, http.StatusOK, a.Status, "%+v", a.Error)
	require.NoError(t, json.Unmarshal(a.Data, &o))
	return o
}

func keys(o any) (names []string) {
	for name := range o.(map[string]any) {
		names = append(names, name)
	}
	return names
}

func TestManagementRoutesNeedTheKey(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	for _, path := range []string{"/events", "/events/" + id.New(), "/events/" + id.New() + "/status", "/processing-status/" + id.New()} {
		for _, key := range []string{"", "wrong"} {
			r := httptest.NewRequest(http.MethodGet, "/api/v1"+path, nil)
			if key != "" {
				r.Header.Set("X-Internal-Api-Key", key)
			}
			require.Equal(t, http.StatusUnauthorized, g.do(r).Status, path)
		}
	}
}

func TestOneEvent(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		body := "\xEF\xBB\xBF" + `{"eventId":"e1","eventType":"t","occurredAt":"2026-01-31T13:00:00+01:00","data":{"n":12345678901234567891,"bad":"` + "\xff" + `","html":"<"}}`
		eventID := g.do(acmeRequest(body, "X-Correlation-Id", "trace-1")).receipt(t).EventID
		job := contract.Job{ID: id.New(), NormalizedEventID: eventID, QueueName: "ig.events.process", TriggeredBy: "webhook", Status: "queued", AttemptNo: 1}
		g.to.jobs, g.to.attempts = []contract.Job{job}, []contract.Attempt{{ID: id.New(), NormalizedEventID: eventID, IntegrationID: g.acme, DestinationID: id.New(), AttemptNo: 1, Status: "success"}}

		a := g.get("/events/" + strings.ToUpper(eventID))
		o := a.object(t)
		require.ElementsMatch(t, []string{"event", "webhook", "deliveryAttempts", "processingJobs"}, keys(o))
		require.ElementsMatch(t, []string{"id", "webhookEventId", "integrationId", "source", "provider", "externalEventId", "eventType", "subject",
			"occurredAt", "normalizedPayload", "payloadOmitted", "status", "processingAttempts", "lastError", "lastProcessedAt", "correlationId", "receivedAt",
			"createdAt", "updatedAt", "erasedAt"}, keys(o["event"]))
		require.ElementsMatch(t, []string{"id", "provider", "externalEventId", "idempotencyKey", "signatureValid", "requestHeaders", "rawPayload",
			"rawBody", "bodyState", "possibleReplay", "marks", "sourceIp", "receivedAt"}, keys(o["webhook"]))
		event, webhook := o["event"].(map[string]any), o["webhook"].(map[string]any)
		require.Equal(t, eventID, event["id"])
		require.Equal(t, webhook["id"], event["webhookEventId"])
		require.Equal(t, "2026-01-31T12:00:00.000Z", event["occurredAt"])
		require.Equal(t, "pending", event["status"])
		require.Equal(t, "trace-1", event["correlationId"])
		require.Nil(t, event["subject"])
		require.Nil(t, event["lastError"])
		require.Nil(t, event["lastProcessedAt"])
		require.Equal(t, base64.StdEncoding.EncodeToString([]byte(body)), webhook["rawBody"])
		require.Equal(t, "acme:e1", webhook["idempotencyKey"])
		require.Equal(t, true, webhook["signatureValid"])
		require.Equal(t, "192.0.2.1", webhook["sourceIp"])
		require.Equal(t, "application/json", webhook["requestHeaders"].(map[string]any)["content-type"])
		require.Equal(t, "\uFFFD", webhook["rawPayload"].(map[string]any)["data"].(map[string]any)["bad"])
		require.Equal(t, "<", event["normalizedPayload"].(map[string]any)["data"].(map[string]any)["html"])
		require.Equal(t, 2, strings.Count(string(a.Data), `"n":12345678901234567891`))
		require.Len(t, o["deliveryAttempts"], 1)
		require.Len(t, o["processingJobs"], 1)

		for _, path := range []string{"/events/" + eventID + "/status", "/processing-status/" + eventID} {
			o := g.get(path).object(t)
			require.ElementsMatch(t, []string{"eventId", "status", "processingAttempts", "lastError", "lastProcessedAt", "jobs"}, keys(o))
			require.Equal(t, eventID, o["eventId"])
			require.Equal(t, job.ID, o["jobs"].([]any)[0].(map[string]any)["id"])
		}
		g.to.jobs, g.to.attempts = nil, nil
		require.Equal(t, []any{}, g.get("/processing-status/" + eventID).object(t)["jobs"])
		require.Equal(t, []any{}, g.get("/events/" + eventID).object(t)["deliveryAttempts"])
	})
}

func TestLongTextsAreFoundAndShownWhole(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		long := func(letter string) string { return strings.Repeat(letter, 3000) }
		r := acmeRequest(`{"eventId":"` + long("i") + `","eventType":"` + long("t") + `","occurredAt":"2026-01-31T12:00:00Z","subject":"` + long("s") + `","data":{}}`)
		r.Header["X-Twice"] = []string{"a", "b"}
		a := g.do(r)
		require.Equal(t, http.StatusAccepted, a.Status, "%+v", a.Error)
		found, _ := g.get("/events?externalEventId=" + long("i") + "&eventType=" + long("t")).list(t)
		require.Equal(t, []string{a.receipt(t).EventID}, found)
		o := g.get("/events/" + a.receipt(t).EventID).object(t)
		event, webhook := o["event"].(map[string]any), o["webhook"].(map[string]any)
		require.Equal(t, []any{long("i"), long("t"), long("s"), long("i")},
			[]any{event["externalEventId"], event["eventType"], event["subject"], webhook["externalEventId"]})
		require.Equal(t, "a, b", webhook["requestHeaders"].(map[string]any)["x-twice"])
	})
}

func TestInvalidAndUnknownIDs(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		for _, path := range []string{"/events/%s", "/events/%s/status", "/processing-status/%s"} {
			for _, bad := range []string{"1", "x", "%27", strings.Repeat("0", 36), "{" + id.New() + "}"} {
				a := g.get(fmt.Sprintf(path, bad))
				require.Equal(t, http.StatusBadRequest, a.Status, bad)
				require.Equal(t, "VALIDATION_ERROR", a.Error.Code)
				require.Equal(t, "id", a.Error.Details[0].Field)
			}
			a := g.get(fmt.Sprintf(path, id.New()))
			require.Equal(t, http.StatusNotFound, a.Status)
			require.Equal(t, "NOT_FOUND", a.Error.Code)
		}
	})
}

func TestARawBodyThatIsNoJSONIsShownAsText(t *testing.T) {
	require.JSONEq(t, `"a=1&b=\ufffd"`, string(rawPayload([]byte("a=1&b=\xff"))))
	require.JSONEq(t, `""`, string(rawPayload(nil)))
	require.JSONEq(t, `[1]`, string(rawPayload([]byte("\xEF\xBB\xBF[1]"))))
}

// listed is events of two sources: e0 … e5, each an hour later and received a minute
// earlier than the one before.
func listed(t *testing.T, db *database.DB) (*gateway, []string) {
	now := time.Date(2026, 2, 1, 12, 0, 0, 0, time.UTC)
	g := setup(t, db, func(_ *Config, d *Deps) { d.Now = func() time.Time { return now } })
	subjects := []string{"Order 100%", "order_1", "order-2", `back\slash`, "ORDER 100", "x"}
	var ids []string
	for i, subject := range subjects {
		text, err := json.Marshal(subject)
		require.NoError(t, err)
		at := time.Date(2026, 1, 31, i, 0, 0, 0, time.UTC).Format(time.RFC3339)
		var r *http.Request
		if i < 4 {
			r = acmeRequest(fmt.Sprintf(`{"eventId":"e%d","eventType":"type-%d","occurredAt":"%s","subject":%s,"data":{}}`, i, i%2, at, text))
		} else {
			r = request("globex", fmt.Sprintf(`{"id":"e%d","type":"type-%d","timestamp":"%s","resource":{"id":%s}}`, i, i%2, at, text))
			r.Header.Set("X-Globex-Token", globexSecret)
		}
		r.Header.Set("X-Correlation-Id", fmt.Sprintf("trace-%d", i))
		a := g.do(r)
		require.Equal(t, http.StatusAccepted, a.Status)
		ids = append(ids, a.receipt(t).EventID)
		now = now.Add(-time.Minute)
	}
	g.exec(`UPDATE event_states SET status = 'failed' WHERE event_id = $1`, ids[2])
	return g, ids
}

func (a answer) list(t *testing.T) (ids []string, meta map[string]any) {
	t.Helper()
	require.Equal(t, http.StatusOK, a.Status, "%+v", a.Error)
	var rows []struct {
		ID string `json:"id"`
	}
	require.NoError(t, json.Unmarshal(a.Data, &rows))
	require.NoError(t, json.Unmarshal(a.Meta, &meta))
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	return ids, meta
}

func TestFiltersOfTheList(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g, ids := listed(t, db)
		cases := []struct {
			query string
			want  []int
		}{
			{"", []int{0, 1, 2, 3, 4, 5}}, // received last comes first
			{"provider=acme", []int{0, 1, 2, 3}},
			{"source=globex", []int{4, 5}},
			{"provider=initech", nil},
			{"status=failed", []int{2}},
			{"status=pending&provider=acme", []int{0, 1, 3}},
			{"eventType=type-1", []int{1, 3, 5}},
			{"externalEventId=e3", []int{3}},
			{"correlationId=trace-4", []int{4}},
			{"subject=order", []int{0, 1, 2, 4}},
			{"subject=100%25", []int{0}},
			{"subject=r_1", []int{1}},
			{"subject=%5C", []int{3}},
			{"subject=%27", nil},
			{"subject=order&sortOrder=asc", []int{4, 2, 1, 0}},
			{"subject=order&pageSize=3&page=2", []int{4}},
			{"subject=order&pageSize=3&page=3", nil},
			{"subject=order&source=globex", []int{4}},
			{"subject=order&status=failed", []int{2}},
			{"subject=order&sortBy=createdAt", []int{4, 2, 1, 0}},
			{"from=2026-01-31T04:00:00Z", []int{4, 5}},
			{"to=2026-01-31T01:00:00Z", []int{0, 1}},
			{"from=2026-01-31T04:00:00%2B01:00&to=2026-01-31T03:00:00.000Z", []int{3}},
			{"receivedFrom=2026-02-01T11:59:00Z", []int{0, 1}},
			{"receivedTo=2026-02-01T11:56:00Z", []int{4, 5}},
			{"sortBy=receivedAt&sortOrder=asc", []int{5, 4, 3, 2, 1, 0}},
			{"sortBy=occurredAt", []int{5, 4, 3, 2, 1, 0}},
			{"sortBy=occurredAt&sortOrder=asc", []int{0, 1, 2, 3, 4, 5}},
			{"sortBy=createdAt&sortOrder=asc", []int{0, 1, 2, 3, 4, 5}},
			{"sortBy=status&sortOrder=asc", []int{2, 5, 4, 3, 1, 0}},
			{"sortBy=status&sortOrder=asc&page=2&pageSize=2", []int{4, 3}},
			{"pageSize=2&page=3", []int{4, 5}},
			{"pageSize=2&page=4", nil},
		}
		for _, c := range cases {
			t.Run(c.query, func(t *testing.T) {
				got, _ := g.get("/events?" + c.query).list(t)
				var want []string
				for _, i := range c.want {
					want = append(want, ids[i])
				}
				require.Equal(t, want, got)
			})
		}
		_, meta := g.get("/events?pageSize=4").list(t)
		require.InDeltaMapValues(t, map[string]any{"page": 1.0, "pageSize": 4.0, "total": 6.0, "totalPages": 2.0},
			map[string]any{"page": meta["page"], "pageSize": meta["pageSize"], "total": meta["total"], "totalPages": meta["totalPages"]}, 0)
		for _, query := range []string{"subject=order&pageSize=2", "subject=order&pageSize=3&page=2", "subject=order&pageSize=3&page=3", "subject=order&sortBy=occurredAt"} {
			_, meta = g.get("/events?" + query).list(t)
			require.InDelta(t, 4, meta["total"], 0, query)
		}
		_, meta = g.get("/events?subject=%27").list(t)
		require.InDelta(t, 0, meta["total"], 0)
		_, meta = g.get("/events").list(t)
		require.InDelta(t, 20, meta["pageSize"], 0)
		require.Nil(t, meta["nextCursor"])
	})
}

func TestCursorsWalkTheWholeList(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g, ids := listed(t, db)
		g.exec(`UPDATE normalized_events SET received_at = $1`, time.Date(2026, 2, 1, 0, 0, 0, 1000, time.UTC)) // all at once
		for _, order := range []string{"", "sortBy=occurredAt&sortOrder=asc", "sortBy=createdAt", "subject=order", "subject=order&sortOrder=asc"} {
			var walked []string
			cursor := ""
			for range ids {
				got, meta := g.get("/events?pageSize=2&" + order + "&cursor=" + url.QueryEscape(cursor)).list(t)
				walked = append(walked, got...)
				next, more := meta["nextCursor"].(string)
				if !more {
					break
				}
				cursor = next
			}
			whole, _ := g.get("/events?" + order).list(t)
			require.Equal(t, whole, walked, order)
			require.Len(t, walked, map[bool]int{true: 4, false: len(ids)}[strings.HasPrefix(order, "subject")])
		}
	})
}

func TestQueriesThatAreRefused(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	_, meta := func() ([]string, map[string]any) {
		g.store("a", "b")
		return g.get("/events?pageSize=1").list(t)
	}()
	cursor := meta["nextCursor"].(string)
	forged := base64.RawURLEncoding.EncodeToString([]byte(`{"o":"-receivedAt","v":"","i":"` + id.New() + `"}`))
	for query, field := range map[string]string{
		"cursor=" + forged: "cursor", "from=yesterday": "from", "to=2026-01-31": "to", "receivedFrom=1": "receivedFrom", "receivedTo=x": "receivedTo",
		"page=-1": "page", "page=0": "page", "page=1.5": "page", "pageSize=1e9": "pageSize", "pageSize=101": "pageSize", "pageSize=0": "pageSize",
		"status=done": "status", "sortBy=subject": "sortBy", "sortOrder=up": "sortOrder", "subject=%00": "subject", "subject=%ff": "subject",
		"cursor=x": "cursor", "page=1&cursor=" + cursor: "cursor", "sortOrder=asc&cursor=" + cursor: "cursor", "sortBy=occurredAt&cursor=" + cursor: "cursor",
		"sortBy=status&cursor=" + cursor: "cursor", "provider=" + strings.Repeat("x", 4097): "provider",
	} {
		a := g.get("/events?" + query)
		require.Equal(t, http.StatusBadRequest, a.Status, query)
		require.Equal(t, field, a.Error.Details[0].Field, query)
	}
	require.Equal(t, http.StatusOK, g.get("/events?pageSize=100&page=1").Status)
}

func TestTheModuleServesNothingButItsRoutes(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	require.Equal(t, http.StatusMethodNotAllowed, g.do(httptest.NewRequest(http.MethodGet, "/api/v1/webhooks/acme", nil)).Status)
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch} {
		require.Equal(t, http.StatusMethodNotAllowed, g.do(httptest.NewRequest(method, "/api/v1/webhooks/acme", nil)).Status)
	}
}
