package provider

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
)

func ptr(s string) *string { return &s }

// acmeBody is a good body with some members replaced; "" leaves one out.
func acmeBody(changes ...string) string {
	members := map[string]string{"eventId": `"e1"`, "eventType": `"order.created"`, "occurredAt": `"2026-01-31T12:00:00Z"`, "subject": `"s1"`, "data": `{"id":"d1"}`}
	for i := 0; i < len(changes); i += 2 {
		members[changes[i]] = changes[i+1]
	}
	var parts []string
	for _, name := range []string{"eventId", "eventType", "occurredAt", "subject", "data"} {
		if members[name] != "" {
			parts = append(parts, `"`+name+`":`+members[name])
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func TestPayloadsHoldWhatWasSent(t *testing.T) {
	const head = `{"provider":"acme","eventType":"order.created","externalEventId":"e1","occurredAt":"2026-01-31T12:00:00.000Z","subject":`
	cases := []struct {
		name    string
		body    string
		payload string
		subject *string
	}{
		{"the canonical event", acmeBody(), head + `"s1","data":{"id":"d1"}}`, ptr("s1")},
		{"the subject falls back to data.id", acmeBody("subject", ""), head + `"d1","data":{"id":"d1"}}`, ptr("d1")},
		{"a null subject falls back too", acmeBody("subject", "null"), head + `"d1","data":{"id":"d1"}}`, ptr("d1")},
		{"a number as subject keeps its digits", acmeBody("subject", "", "data", `{"id":12345678901234567891}`),
			head + `"12345678901234567891","data":{"id":12345678901234567891}}`, ptr("12345678901234567891")},
		{"a negative number too", acmeBody("subject", "", "data", `{"id":-1.10}`), head + `"-1.10","data":{"id":-1.10}}`, ptr("-1.10")},
		{"an object is no subject", acmeBody("subject", "", "data", `{"id":{}}`), head + `null,"data":{"id":{}}}`, nil},
		{"neither is true", acmeBody("subject", "", "data", `{"id":true}`), head + `null,"data":{"id":true}}`, nil},
		{"no id anywhere", acmeBody("subject", "", "data", `{}`), head + `null,"data":{}}`, nil},
		{"numbers and space within data stay", acmeBody("data", `{ "n" : 1.10, "big":9007199254740993 }`),
			head + `"s1","data":{ "n" : 1.10, "big":9007199254740993 }}`, ptr("s1")},
		{"so do NUL, lone surrogates and bytes that are not UTF-8", acmeBody("data", "{\"a\":\"\\u0000\\ud800\xff\"}"),
			head + "\"s1\",\"data\":{\"a\":\"\\u0000\\ud800\xff\"}}", ptr("s1")},
		{"so do __proto__ and members given twice", acmeBody("data", `{"__proto__":{},"a":1,"a":2}`),
			head + `"s1","data":{"__proto__":{},"a":1,"a":2}}`, ptr("s1")},
		{"a byte-order mark is passed over", "\xEF\xBB\xBF" + acmeBody(), head + `"s1","data":{"id":"d1"}}`, ptr("s1")},
		{"space around the body is passed over", " \t\r\n" + acmeBody() + "\n", head + `"s1","data":{"id":"d1"}}`, ptr("s1")},
		{"of a member given twice the last counts", `{"subject":"first","Subject":"other",` + acmeBody()[1:], head + `"s1","data":{"id":"d1"}}`, ptr("s1")},
		{"a name may be spelled with escapes", strings.Replace(acmeBody(), "eventId", `\u0065ventId`, 1), head + `"s1","data":{"id":"d1"}}`, ptr("s1")},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			events, err := normalizeAcme(Request{Body: []byte(c.body)})
			require.NoError(t, err)
			require.Len(t, events, 1)
			require.Equal(t, c.payload, string(events[0].Payload))
			require.True(t, json.Valid(events[0].Payload))
			require.Equal(t, c.subject, events[0].Subject)
			require.Equal(t, ptr("e1"), events[0].ID)
			require.Equal(t, "e1", string(events[0].IDAsSent))
			require.Equal(t, "order.created", events[0].Type)
		})
	}
}

func TestGlobexKeepsItsResource(t *testing.T) {
	events, err := normalizeGlobex(Request{Body: []byte(`{"id":"g1","type":"t","timestamp":"2026-01-31T12:00:00.123456789+02:00","resource":{"id":7,"n":1.10}}`)})
	require.NoError(t, err)
	require.Equal(t, `{"provider":"globex","eventType":"t","externalEventId":"g1","occurredAt":"2026-01-31T10:00:00.123456Z","subject":"7",`+
		`"data":{"id":7,"n":1.10},"resource":{"id":7,"n":1.10}}`, string(events[0].Payload))
	require.Equal(t, ptr("7"), events[0].Subject)
}

func TestBodiesThatAreRefused(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	cases := []struct {
		name          string
		body          string
		reason, field string
	}{
		{"empty", "", "empty_body", "body"},
		{"only a byte-order mark", "\xEF\xBB\xBF", "empty_body", "body"},
		{"only space", " \n", "empty_body", "body"},
		{"an array", "[" + acmeBody() + "]", "not_an_object", "body"},
		{"a string", `"text"`, "not_an_object", "body"},
		{"null", `null`, "not_an_object", "body"},
		{"a number", `1`, "not_an_object", "body"},
		{"not closed", acmeBody()[:20], "malformed_json", "body"},
		{"garbage behind it", acmeBody() + "x", "malformed_json", "body"},
		{"a second value behind it", acmeBody() + "{}", "malformed_json", "body"},
		{"a no-break space behind it", acmeBody() + "\u00a0", "malformed_json", "body"},
		{"a form", "a=1&b=2", "malformed_json", "body"},
		{"UTF-16", "\xff\xfe{\x00}\x00", "malformed_json", "body"},
		{"a raw control character in a string", acmeBody("data", "{\"a\":\"\x00\"}"), "malformed_json", "body"},
		{"nested without bound", strings.Repeat("[", 100_000), "too_deep", "body"},
		{"one level too deep", acmeBody("data", `{"a":`+deep(MaxDepth-1)+`}`), "too_deep", "body"},
		{"no eventId", acmeBody("eventId", ""), "missing_field", "eventId"},
		{"a null eventId", acmeBody("eventId", "null"), "missing_field", "eventId"},
		{"an empty eventId", acmeBody("eventId", `""`), "wrong_field", "eventId"},
		{"a number as eventId", acmeBody("eventId", "7"), "wrong_field", "eventId"},
		{"eventId in another case", strings.Replace(acmeBody(), "eventId", "eventid", 1), "missing_field", "eventId"},
		{"no eventType", acmeBody("eventType", ""), "missing_field", "eventType"},
		{"a list as eventType", acmeBody("eventType", `["a"]`), "wrong_field", "eventType"},
		{"no occurredAt", acmeBody("occurredAt", ""), "missing_field", "occurredAt"},
		{"a number as occurredAt", acmeBody("occurredAt", "1769860800"), "wrong_field", "occurredAt"},
		{"a date as occurredAt", acmeBody("occurredAt", `"2026-01-31"`), "wrong_field", "occurredAt"},
		{"a subject that is no string", acmeBody("subject", "7"), "wrong_field", "subject"},
		{"no data", acmeBody("data", ""), "missing_field", "data"},
		{"null data", acmeBody("data", "null"), "missing_field", "data"},
		{"a list as data", acmeBody("data", "[]"), "wrong_field", "data"},
		{"a string as data", acmeBody("data", `"{}"`), "wrong_field", "data"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := normalizeAcme(Request{Body: []byte(c.body)})
			require.True(t, fault.Is(err, fault.Invalid), "%v", err)
			require.Equal(t, c.reason, fault.As(err).Reason)
			require.Len(t, fault.As(err).Fields, 1)
			require.Equal(t, c.field, fault.As(err).Fields[0].Field)
		})
	}
	for _, name := range []string{"id", "type", "timestamp", "resource"} {
		body := strings.Replace(`{"id":"g1","type":"t","timestamp":"2026-01-31T12:00:00Z","resource":{}}`, `"`+name+`"`, `"other"`, 1)
		_, err := normalizeGlobex(Request{Body: []byte(body)})
		require.Equal(t, name, fault.As(err).Fields[0].Field)
	}
	_, err := normalizeAcme(Request{Body: []byte(acmeBody("data", `{"a":`+deep(MaxDepth-2)+`,"b":"[[[{{{\"["}`))})
	require.NoError(t, err, "exactly %d levels, and brackets within strings", MaxDepth)
}

func TestTimes(t *testing.T) {
	cases := []struct {
		text string
		want string // "" when it is refused
	}{
		{"2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"},
		{"2026-01-31t12:00:00z", "2026-01-31T12:00:00Z"},
		{"2026-01-31T12:00:00.123456+05:30", "2026-01-31T06:30:00.123456Z"},
		{"2026-01-31T12:00:00-00:00", "2026-01-31T12:00:00Z"},
		{"1990-12-31T23:59:60Z", "1991-01-01T00:00:00Z"}, // RFC 3339 section 5.8
		{"1990-12-31T15:59:60-08:00", "1991-01-01T00:00:00Z"},
		{"0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
		{"0001-01-01T00:00:00+01:00", ""},
		{"0000-06-01T00:00:00Z", ""},
		{"9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"},
		{"9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999999Z"}, // PostgreSQL would round it up
		{"2026-01-31T12:00:00.1234567Z", "2026-01-31T12:00:00.123456Z"},
		{"9999-12-31T23:59:59-00:01", ""},
		{"9999-12-31T23:59:60Z", ""},
		{"10000-01-01T00:00:00Z", ""},
		{"+10000-01-01T00:00:00Z", ""},
		{"2026-02-29T00:00:00Z", ""},
		{"2026-01-31T24:00:00Z", ""},
		{"2026-01-31T1:00:00Z", ""},
		{"2026-01-31T12:00:00,5Z", ""},
		{"2026-01-31T12:00:00", ""},
		{"2026-01-31 12:00:00Z", ""},
		{"2026-01-31T12:00:00+25:00", ""},
		{"yesterday", ""},
		{"", ""},
	}
	for _, c := range cases {
		at, ok := parseTime(c.text)
		require.Equal(t, c.want != "", ok, c.text)
		if ok {
			require.Equal(t, c.want, at.Format(time.RFC3339Nano), c.text)
		}
	}
}

func TestTextsAreCleanedForColumns(t *testing.T) {
	cases := []struct{ name, raw, want string }{
		{"plain text stays", `"a ü 😀"`, "a ü 😀"},
		{"NUL is replaced", `"a\u0000b"`, "a\uFFFDb"},
		{"a lone surrogate is replaced", `"a\ud800b"`, "a\uFFFDb"},
		{"a pair is one character", `"\ud83d\ude00"`, "😀"},
		{"bytes that are not UTF-8 are replaced", "\"a\xffb\"", "a\uFFFDb"},
		{"500 characters stay", `"` + strings.Repeat("ü", MaxText) + `"`, strings.Repeat("ü", MaxText)},
		{"the 501st is cut", `"` + strings.Repeat("ü", MaxText) + `x"`, strings.Repeat("ü", MaxText)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, *stringToken(json.RawMessage(c.raw)).column())
		})
	}
}

// The subject is where a body names one, so that filters, search and erasure find it.
func TestSubjectsOfOtherBodies(t *testing.T) {
	for _, c := range []struct{ provider, body, subject string }{
		{"slack", `{"type":"event_callback","event":{"type":"channel_created","channel":{"id":"C1","name":"fun"}}}`, "C1"},
		{"slack", `{"type":"event_callback","event":{"type":"file_shared","file_id":"F1","file":{"id":"F1"}}}`, "F1"},
		{"slack", `{"type":"event_callback","event":{"type":"team_join","user":{"id":"U1"}}}`, "U1"},
		{"slack", `{"type":"event_callback","event":{"type":"reaction_added","user":"U1","item":{"channel":"C2"}}}`, "C2"},
		{"shopify", `{"shop_id":1,"customer":{"id":191167}}`, "191167"},
		{"shopify", `{"shop_id":1,"data_request":{"id":9999},"customer":{"id":191168}}`, "191168"},
		{"shopify", `{"fulfillment_order":{"id":"gid://shopify/FulfillmentOrder/1"}}`, "gid://shopify/FulfillmentOrder/1"},
		{"shopify", `{"collection_listing":{"collection_id":408}}`, "408"},
		{"shopify", `{"id":null,"token":"eeafa272cebfd4b22385bc4b645e762c"}`, "eeafa272cebfd4b22385bc4b645e762c"},
		{"linear", `{"type":"AppUserNotification","action":"issueMention","notification":{"id":"n1","issue":{"identifier":"LIN-1"}}}`, "LIN-1"},
		{"linear", `{"type":"AgentSessionEvent","action":"created","agentSession":{"id":"s1"}}`, "s1"},
		{"standard-webhooks", `{"type":"email.sent","data":{"email_id":"56761188"}}`, "56761188"},
		{"github", `{"action":"created","installation":{"id":1,"account":{"login":"octocat"}}}`, "octocat"},
		{"github", `{"action":"purchased","marketplace_purchase":{"account":{"login":"buyer"}},"sender":{"login":"s"}}`, "buyer"},
		{"gitlab", `{"event_name":"group_create","path":"storecloud","full_path":"top/storecloud"}`, "top/storecloud"},
		{"gitlab", `{"event_name":"user_create","username":"js"}`, "js"},
		{"gitlab", `{"object_kind":"build","project_name":"gitlab-org/gitlab-test"}`, "gitlab-org/gitlab-test"},
		{"paypal", `{"id":"WH-1","event_type":"CUSTOMER.DISPUTE.CREATED","resource":{"dispute_id":"PP-D-1"}}`, "PP-D-1"},
		{"hubspot", `[{"eventId":1,"subscriptionType":"contact.associationChange","fromObjectId":148,"toObjectId":53}]`, "148"},
		{"twilio", `{"EventType":"task.created","TaskSid":"WT1","WorkspaceSid":"WS1"}`, "WT1"},
	} {
		s, _ := Builtin().Spec(c.provider)
		header := http.Header{"X-Shopify-Topic": {"t"}, "X-Github-Event": {"e"}}
		events, err := s.Normalize(Request{Header: header, Body: []byte(c.body)})
		require.NoError(t, err, c.body)
		require.NotNil(t, events[0].Subject, c.body)
		require.Equal(t, c.subject, *events[0].Subject, c.body)
	}
}

// A time that is there is used, however it is written.
func TestTimesOfOtherFormats(t *testing.T) {
	for text, want := range map[string]string{
		"2017-09-15 16:52:00 UTC": "2017-09-15T16:52:00Z", "2017-09-15 18:52:00 +0200": "2017-09-15T16:52:00Z", "2017-09-15 16:52:00": "2017-09-15T16:52:00Z",
		"2017-09-15T16:52:00-0400": "2017-09-15T20:52:00Z", "Fri, 15 Sep 2017 16:52:00 +0000": "2017-09-15T16:52:00Z",
		"15 Sep 2017 16:52:00 GMT": "2017-09-15T16:52:00Z", "1505494320": "2017-09-15T16:52:00Z", "1505494320.25": "2017-09-15T16:52:00Z",
		"1505494320000": "2017-09-15T16:52:00Z", "2017-09-15T16:52:00Z": "2017-09-15T16:52:00Z",
		"": "", "0": "", "-1": "", "7th of May": "", "2017-09-15 16:52:00 CEST": "", "2017-13-15 16:52:00 UTC": "", "999999999999999": "",
	} {
		at, ok := AnyTime.parse(text)
		require.Equal(t, want != "", ok, text)
		if ok {
			require.Equal(t, want, at.Format(time.RFC3339), text)
		}
	}
	received := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	for _, c := range []struct{ provider, body, want string }{
		{"gitlab", `{"object_kind":"issue","object_attributes":{"updated_at":"2017-09-15 16:52:00 UTC"}}`, "2017-09-15T16:52:00Z"},
		{"gitlab", `{"event_name":"project_create","created_at":"2012-07-21T07:30:54Z"}`, "2012-07-21T07:30:54Z"},
		{"shopify", `{"id":1,"updated_at":"2021-12-31T19:00:00-05:00"}`, "2022-01-01T00:00:00Z"},
		{"slack", `{"type":"block_actions","action_ts":"1505494320.123"}`, "2017-09-15T16:52:00Z"},
		{"twilio", `{"CallSid":"CA1","Timestamp":"Fri, 15 Sep 2017 16:52:00 +0000"}`, "2017-09-15T16:52:00Z"},
		{"linear", `{"type":"Issue","webhookTimestamp":1505494320000}`, "2017-09-15T16:52:00Z"},
		{"standard-webhooks", `{"type":"email.sent","created_at":"2024-02-22T23:41:12.126Z","data":{}}`, "2024-02-22T23:41:12Z"},
		{"gitlab", `{"event_name":"x","created_at":"soon"}`, "2026-01-05T09:00:00Z"},
	} {
		s, _ := Builtin().Spec(c.provider)
		events, err := s.Normalize(Request{Header: http.Header{"X-Shopify-Topic": {"t"}}, Body: []byte(c.body), ReceivedAt: received})
		require.NoError(t, err, c.body)
		require.Equal(t, c.want, events[0].OccurredAt.Format(time.RFC3339), c.body)
	}
}
