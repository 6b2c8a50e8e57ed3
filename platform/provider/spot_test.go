package provider

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is proved by an item of a list must not let another item in beside it.
func TestEveryItemOfAListProvesTheSame(t *testing.T) {
	place, err := parseSpot("$.value[*].state")
	require.NoError(t, err)
	require.Equal(t, "$.value[*].state", place.String())
	for _, c := range []struct{ body, want string }{
		{`{"value":[{"state":"s"}]}`, "s"},
		{`{"value":[{"state":"s"},{"state":"s","x":1}]}`, "s"},
		{`{"value":[{"state":"s"},{"state":"t"}]}`, ""},
		{`{"value":[{"state":"s"},{}]}`, ""},
		{`{"value":[{},{"state":"s"}]}`, ""},
		{`{"value":[{"state":"s"},1]}`, ""},
		{`{"value":[{"state":"s"},{"state":["s"]}]}`, ""},
		{`{"value":[]}`, ""},
		{`{"value":{"state":"s"}}`, ""},
		{`{"value":[{"state":"t","state":"s"}]}`, "s"}, // the last counts, as it does for the event
		{`{"value":[{"state":"s"}],"value":[{"state":"t"}]}`, "t"},
		{`[{"state":"s"}]`, ""},
		{`{"value":[{"state":"s"}`, ""},
	} {
		text, err := place.read(Request{Body: []byte(c.body)})
		require.Equal(t, c.want, text, c.body)
		require.Equal(t, c.want == "", err != nil, c.body)
	}
	list, err := parseSpot("$.ids[*]")
	require.NoError(t, err)
	text, err := list.read(Request{Body: []byte(`{"ids":["7",7]}`)})
	require.NoError(t, err)
	require.Equal(t, "7", text)
}

func TestAnOptionalPlaceReadsAsNothing(t *testing.T) {
	template, err := parseTemplate("{$.a?}:{$.list[*].b?}:{$.c}")
	require.NoError(t, err)
	values := func(body string) string {
		all, err := template.values(Request{Body: []byte(body)})
		if err != nil {
			return "refused"
		}
		return strings.Join(all, ":")
	}
	require.Equal(t, "1:2:3", values(`{"a":"1","list":[{"b":2}],"c":3}`))
	require.Equal(t, "::3", values(`{"list":[{}],"c":"3"}`))
	require.Equal(t, "::3", values(`{"a":null,"c":"3"}`))
	require.Equal(t, "refused", values(`{"a":"1"}`), "the last is not optional")
	require.Equal(t, "refused", values(`{"list":[{"b":1},{}],"c":3}`), "the items differ")
	_, err = parseTemplate("{header:X?}")
	require.Error(t, err, "only a place in the body")
}

func TestWhatIsKeptOfAURL(t *testing.T) {
	s := inOneLine(t, `{name: initech, anyOf: [{scheme: token, signature: {at: ["query:token"]}}, {scheme: hmac, signature: {at: ["query:sig"], over: "{timestamp}.{body}"}, timestamp: {at: "query:ts"}}], event: {type: "text:x", id: "query:id"}}`)
	const address = "https://hooks.example.com/in"
	require.Equal(t, address+"?sig=a&ts=1&id=2", s.StoredURL(address+"?token=t&sig=a&other=o&ts=1&id=2&%zz=1"))
	require.Equal(t, address, s.StoredURL(address+"?token=t"))
	require.Equal(t, address, s.StoredURL(address))
	token, ok := QueryToken(address+"?token=a%20b", "token")
	require.True(t, ok)
	require.Equal(t, address+"?token=a+b", WithQuery(address, "token", token))
	signed := inOneLine(t, `{name: initech, scheme: hmac, signature: {header: X-S, over: "{url}{body}"}, event: {type: "text:x"}}`)
	require.Equal(t, address+"?a=b", signed.StoredURL(address+"?a=b"), "the signature covers it")
}

func TestASignatureBehindAName(t *testing.T) {
	s := inOneLine(t, `{name: initech, unsigned: It covers p., scheme: hmac, signature: {at: ["form:s"], separator: "&", after: "|", hash: sha1, key: sha1, over: "{form:p}"}, bodies: [form], event: {type: {at: "form:p", decode: base64, json: $.a.b}}}`)
	const sum = "01f3327fbac67abaadd8149fe46da41f86d395c4"
	for value, good := range map[string]bool{
		"k%7C" + sum: true, "other%7C" + strings.Repeat("0", 40) + "%26k%7C" + sum: true, "a%7Cb%7C" + sum: true,
		sum: false, "k%7C": false, sum + "%7C": false, "k%7C" + sum[:38]: false,
	} {
		req := Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {formType}}, Body: []byte("s=" + value + "&p=PGE%2BPGI%2BeDwvYj48L2E%2B")}
		_, err := s.Authenticate(req, secrets("key"))
		require.Equal(t, good, err == nil, value)
		events, err := s.Normalize(req)
		require.NoError(t, err)
		require.Equal(t, "x", events[0].Type, "a text that is XML is read as JSON")
	}
}

func inOneLine(t *testing.T, text string) Spec {
	s, err := FromFile([]byte(text))
	require.NoError(t, err)
	return s
}
