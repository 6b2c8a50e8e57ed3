package ingestion

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/testkit"
)

func TestAWebhookIsStoredOnceWithAllThatBelongsToIt(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		first := g.do(acmeRequest(acmeBody("e1"), "X-Correlation-Id", "trace-1"))
		require.Equal(t, http.StatusAccepted, first.Status)
		r := first.receipt(t)
		require.True(t, id.Valid(r.EventID))
		require.Equal(t, receipt{EventID: r.EventID, Status: "queued", CorrelationID: "trace-1"}, r)
		require.NotContains(t, string(first.Data), "eventIds")

		again := g.do(acmeRequest(acmeBody("e1"), "X-Correlation-Id", "trace-2"))
		require.Equal(t, http.StatusOK, again.Status)
		require.Equal(t, receipt{EventID: r.EventID, Status: "duplicate", Duplicate: true, CorrelationID: "trace-1"}, again.receipt(t))

		require.Equal(t, 1, g.stored())
		var actions []string
		require.NoError(t, db.Select(t.Context(), &actions, `SELECT entity_type || ' ' || action || ' ' || actor FROM audit_entries ORDER BY id`))
		require.Equal(t, []string{
			"webhook_event webhook.received gateway", "normalized_event event.normalized gateway", "normalized_event event.queued gateway"}, actions)
		var wrong int
		require.NoError(t, db.Get(t.Context(), &wrong, `SELECT count(*) FROM audit_entries WHERE details LIKE '%trace-1%' OR action <> 'event.queued' AND details NOT LIKE '%"externalEventId":"e1"%'`))
		require.Zero(t, wrong)
		require.Empty(t, g.audit.take())
	})
}

func TestOneIdInTwoSourcesIsTwoEvents(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.sources.add("acme-eu", "acme", acmeSecret)
		require.Equal(t, http.StatusAccepted, g.do(acmeRequest(acmeBody("e1"))).Status)
		other := request("acme-eu", acmeBody("e1"))
		other.Header.Set("X-Acme-Signature", sign(acmeBody("e1")))
		require.Equal(t, http.StatusAccepted, g.do(other).Status)
		require.Equal(t, 2, g.stored())
	})
}

func TestAnEventWithoutDestinationsIsProcessed(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.to.idle[g.acme] = true
		require.Equal(t, http.StatusAccepted, g.do(acmeRequest(acmeBody("e1"))).Status)
		var details string
		require.NoError(t, db.Get(t.Context(), &details, `SELECT details FROM audit_entries WHERE action = 'event.processed'`))
		require.Contains(t, details, `"reason":"no active destination"`)
		var processed int
		require.NoError(t, db.Get(t.Context(), &processed, `SELECT count(*) FROM event_states WHERE status = 'processed' AND last_processed_at IS NOT NULL`))
		require.Equal(t, 1, processed)
		var reason string
		require.NoError(t, db.Get(t.Context(), &reason, `SELECT last_error FROM event_states`))
		require.Equal(t, "no active destination", reason)
	})
}

// Both engines must take what signed, legal bodies hold.
func TestEveryLegalBodyIsAccepted(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		long := strings.Repeat("é", 1500)
		body := func(eventID, rest string) string {
			return `{"eventId":"` + eventID + `","eventType":"t","occurredAt":"2026-01-31T12:00:00Z","data":` + rest + `}`
		}
		bodies := map[string]string{
			"NUL in texts":                    body(`a\u0000`, `{"id":"\u0000"}`),
			"one lone surrogate":              body(`\ud800`, `{"id":"\udc00"}`),
			"another lone surrogate":          body(`\ud801`, `{}`),
			"bytes that are not UTF-8":        body("b\xff", "{\"id\":\"\xfe\"}"),
			"a byte-order mark":               "\xEF\xBB\xBF" + body("bom", `{}`),
			"an external id of 3 kB":          body(long, `{"id":"`+long+`"}`),
			"another one":                     body(long+"x", `{}`),
			"__proto__ and doubled names":     body("proto", `{"__proto__":{"a":1},"a":1,"a":2,"constructor":null}`),
			"big numbers":                     body("big", `{"id":12345678901234567891,"n":1.10,"e":1e400}`),
			"an id with quotes and a colon":   body(`a:\"b\"`, `{}`),
			"an id that looks like SQL":       body(`'; DROP TABLE v; --`, `{}`),
			"an id that looks like an array":  body(`{NULL,NULL}`, `{}`),
			"the id NULL":                     body(`NULL`, `{}`),
			"the last second of the calendar": strings.Replace(body("late", `{}`), "2026-01-31T12:00:00Z", "9999-12-31T23:59:59.999999Z", 1),
			"the first second of it":          strings.Replace(body("early", `{}`), "2026-01-31T12:00:00Z", "0001-01-01T00:00:00Z", 1),
		}
		for name, text := range bodies {
			a := g.do(acmeRequest(text))
			require.Equal(t, http.StatusAccepted, a.Status, "%s: %+v", name, a.Error)
			eventID := a.receipt(t).EventID
			require.Equal(t, http.StatusOK, g.do(acmeRequest(text)).Status, "%s: the repeat", name)

			sent, err := g.module.Deliverables(t.Context(), []string{eventID})
			require.NoError(t, err)
			_, data, _ := strings.Cut(strings.TrimSuffix(text, "}"), `"data":`)
			require.True(t, bytes.HasSuffix(sent[0].Payload, []byte(`"data":`+data+`}`)), "%s: %s", name, sent[0].Payload)
			require.Equal(t, http.StatusOK, g.get("/events/"+eventID).Status, name)
		}
		require.Equal(t, len(bodies), g.stored())
		require.Equal(t, http.StatusOK, g.get("/events?pageSize=100").Status)
	})
}

func TestWebhooksThatAreRefused(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		g.sources.add("asleep", "acme", acmeSecret)
		g.sources.change("asleep", func(s *settings) { s.IsActive = false })
		g.sources.add("small", "acme", acmeSecret)
		g.sources.change("small", func(s *settings) { ten := int64(10); s.MaxBodyBytes = &ten })
		for _, c := range refusedRequests() {
			t.Run(c.name, func(t *testing.T) {
				a := g.do(c.request)
				require.Equal(t, c.status, a.Status, "%+v", a.Error)
				require.False(t, a.Success)
				refused := g.audit.take()
				if c.reason == "" {
					return // no route
				}
				require.Equal(t, c.code, a.Error.Code)
				require.Equal(t, []contract.Refusal{{Action: "webhook.rejected", EntityType: "webhook_event", Source: c.source, Reason: c.reason}}, refused)
				if c.field != "" {
					require.Equal(t, c.field, a.Error.Details[0].Field)
				}
				if c.status == 401 {
					require.Equal(t, "The webhook's credentials are not valid for this source.", a.Error.Message)
				}
			})
		}
		require.Zero(t, g.stored())
		require.Equal(t, http.StatusAccepted, g.do(acmeRequest(padded())).Status, "exactly the limit")
	})
}

func TestContentTypes(t *testing.T) {
	spec, _ := provider.Builtin().Spec("acme")
	for kind, want := range map[string]bool{
		"application/json": true, "Application/JSON": true, "application/json; charset=utf-8": true, "application/json;charset=latin1": true,
		"application/cloudevents+json": true, "application/json; charset": true, "application/json;": true,
		"": false, "text/plain": false, "text/json": false, "application/xml": false, "json": false, "application/json+xml": false, ";": false,
	} {
		require.Equal(t, want, accepts(spec, kind), kind)
	}
}

func TestTheSecretThatVerifiedAWebhookIsCounted(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	g.sources.change("acme", func(s *settings) { s.Secrets = append(s.Secrets, "the-new-secret") })
	g.sentTo("acme", acmeSecret, "e1")
	for _, eventID := range []string{"e2", "e3", "e3"} {
		g.sentTo("acme", "the-new-secret", eventID)
	}
	g.sentTo("acme", "no-secret-of-ours", "e4")
	require.Equal(t, map[string]int{"acme-0": 1, "acme-1": 3}, g.sources.matched, "repeats show that a secret is used")
}

func TestAnOutageIsNotTheSendersFault(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	require.NoError(t, g.db.Close())
	a := g.do(acmeRequest(acmeBody("1")))
	require.GreaterOrEqual(t, a.Status, 500)
	require.Empty(t, g.audit.take())

	shut := setup(t, testkit.Open(t, testkit.SQLite(t)))
	require.NoError(t, shut.module.Close())
	a = shut.do(acmeRequest(acmeBody("1")))
	require.Equal(t, http.StatusServiceUnavailable, a.Status)
	require.NotEmpty(t, a.Header.Get("Retry-After"))
	require.Empty(t, shut.audit.take())
}

func TestTheAddressThatProvidersSign(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "http://gateway.internal/api/v1/webhooks/acme?a=1", nil)
	require.Equal(t, "http://gateway.internal/api/v1/webhooks/acme?a=1", New(Config{}, Deps{Now: clock.System}).urlOf(r))
	require.Equal(t, "https://hooks.example.com/api/v1/webhooks/acme?a=1",
		New(Config{PublicBaseURL: "https://hooks.example.com"}, Deps{Now: clock.System}).urlOf(r))
}

type refusedRequest struct {
	name    string
	request *http.Request
	status  int
	code    string
	source  string
	reason  string
	field   string
}

// padded is a good body of exactly the size that is allowed.
func padded() string {
	good := acmeBody("e1")
	return good[:len(good)-1] + strings.Repeat(" ", 64<<10-len(good)) + "}"
}

// signed sends body to any source with acme's signature.
func signed(source, body string) *http.Request {
	r := request(source, body)
	r.Header.Set("X-Acme-Signature", sign(body))
	return r
}

func changed(r *http.Request, change func(http.Header)) *http.Request {
	change(r.Header)
	return r
}

func refusedRequests() []refusedRequest {
	good := acmeBody("e1")
	return []refusedRequest{
		{"an unknown source", signed("initech", good), 404, "NOT_FOUND", "(unknown)", "unknown_source", ""},
		{"a disabled source", signed("asleep", good), 404, "NOT_FOUND", "asleep", "source_disabled", ""},
		{"a disabled source, unsigned", request("asleep", good), 404, "NOT_FOUND", "(unknown)", "unknown_source", ""},
		{"a disabled source, with another type", changed(signed("asleep", good), func(h http.Header) { h.Del("Content-Type") }), 404, "NOT_FOUND", "(unknown)", "unknown_source", ""},
		{"a source in another case", signed("Acme", good), 404, "NOT_FOUND", "(unknown)", "unknown_source", ""},
		{"a source that is no name", signed("a%00b'", good), 404, "", "", "", ""},
		{"no content type", changed(signed("acme", good), func(h http.Header) { h.Del("Content-Type") }), 415, "UNSUPPORTED_MEDIA_TYPE", "acme", "not_json", ""},
		{"a form", changed(signed("acme", good), func(h http.Header) { h.Set("Content-Type", "application/x-www-form-urlencoded") }), 415, "UNSUPPORTED_MEDIA_TYPE", "acme", "not_json", ""},
		{"text/json-ish", changed(signed("acme", good), func(h http.Header) { h.Set("Content-Type", "application/jsonx") }), 415, "UNSUPPORTED_MEDIA_TYPE", "acme", "not_json", ""},
		{"one byte over the limit", signed("acme", padded()+" "), 413, "PAYLOAD_TOO_LARGE", "acme", "body_too_large", ""},
		{"one byte over the source's own limit", signed("small", strings.Repeat("x", 11)), 413, "PAYLOAD_TOO_LARGE", "small", "body_too_large", ""},
		{"exactly the source's own limit", signed("small", strings.Repeat("x", 10)), 400, "VALIDATION_ERROR", "small", "malformed_json", "body"},
		{"no signature", changed(signed("acme", good), func(h http.Header) { h.Del("X-Acme-Signature") }), 401, "UNAUTHORIZED", "acme", "missing_header", ""},
		{"a signature of something else", changed(signed("acme", good), func(h http.Header) { h.Set("X-Acme-Signature", sign("x")) }), 401, "UNAUTHORIZED", "acme", "no_match", ""},
		{"the signature twice", changed(signed("acme", good), func(h http.Header) { h.Add("X-Acme-Signature", sign(good)) }), 401, "UNAUTHORIZED", "acme", "duplicate_header", ""},
		{"acme's signature for globex", signed("globex", good), 401, "UNAUTHORIZED", "globex", "missing_header", ""},
		{"a wrong token", changed(signed("globex", good), func(h http.Header) { h.Set("X-Globex-Token", "wrong") }), 401, "UNAUTHORIZED", "globex", "no_match", ""},
		{"a malformed body with a wrong signature is unauthorized", changed(signed("acme", "{"), func(h http.Header) { h.Set("X-Acme-Signature", sign("x")) }), 401, "UNAUTHORIZED", "acme", "no_match", ""},
		{"malformed JSON", signed("acme", good[:30]), 400, "VALIDATION_ERROR", "acme", "malformed_json", "body"},
		{"an empty body", signed("acme", ""), 400, "VALIDATION_ERROR", "acme", "empty_body", "body"},
		{"an array", signed("acme", "["+good+"]"), 400, "VALIDATION_ERROR", "acme", "not_an_object", "body"},
		{"nested without bound", signed("acme", strings.Repeat("[", 60_000)), 400, "VALIDATION_ERROR", "acme", "too_deep", "body"},
		{"no eventId", signed("acme", strings.Replace(good, "eventId", "id", 1)), 400, "VALIDATION_ERROR", "acme", "missing_field", "eventId"},
		{"a year that is none", signed("acme", strings.Replace(good, "2026-", "12026-", 1)), 400, "VALIDATION_ERROR", "acme", "wrong_field", "occurredAt"},
	}
}
