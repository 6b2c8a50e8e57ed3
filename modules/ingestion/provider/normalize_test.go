package provider

import (
	"encoding/json"
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

func TestTextsAreMadeFitForColumns(t *testing.T) {
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
