package ingestion

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/provider"
)

func TestStableJSON(t *testing.T) {
	cases := []struct{ name, in, want string }{
		{"members are sorted", `{"b":1,"a":2}`, `{"a":2,"b":1}`},
		{"at every level", `{"b":[{"d":1,"c":2}],"a":{"f":1,"e":2}}`, `{"a":{"e":2,"f":1},"b":[{"c":2,"d":1}]}`},
		{"lists keep their order", `[3,1,2]`, `[3,1,2]`},
		{"space goes", " { \"a\" : [ 1 , 2 ] ,\n\t\"b\" : { } , \"c\":[ ] } ", `{"a":[1,2],"b":{},"c":[]}`},
		{"but not within strings", `{"a":" b\n , } "}`, `{"a":" b\n , } "}`},
		{"numbers stay as written", `{"a":1.10,"b":1e2,"c":12345678901234567891,"d":-0}`, `{"a":1.10,"b":1e2,"c":12345678901234567891,"d":-0}`},
		{"strings stay as written", `{"a":"\u0061\/\ud800","b":"\"}"}`, `{"a":"\u0061\/\ud800","b":"\"}"}`},
		{"bytes that are not UTF-8 stay", "{\"b\":\"\xff\",\"a\":1}", "{\"a\":1,\"b\":\"\xff\"}"},
		{"HTML is not escaped", `{"a":"<&>"}`, `{"a":"<&>"}`},
		{"members given twice keep their order", `{"b":0,"a":2,"a":1}`, `{"a":2,"a":1,"b":0}`},
		{"a name that starts another comes first", `{"ab":1,"a":2}`, `{"a":2,"ab":1}`},
		{"literals", `[null,true,false,"",{}]`, `[null,true,false,"",{}]`},
		{"a lone value", ` "x" `, `"x"`},
		{"no JSON is left alone", ` a=1&b=2 `, ` a=1&b=2 `},
		{"nothing is left alone", ``, ``},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, string(stableJSON([]byte(c.in)))) })
	}
}

func TestStableJSONOfDeepNesting(t *testing.T) {
	for _, n := range []int{1_000, 9_999, 10_001, 1_000_000} {
		lists := strings.Repeat("[", n) + strings.Repeat("]", n)
		require.Equal(t, lists, string(stableJSON([]byte(lists))))
		objects := strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n)
		require.Equal(t, objects, string(stableJSON([]byte(objects))))
	}
}

func TestIdempotencyKeys(t *testing.T) {
	event := func(id string) provider.Event { return provider.Event{IDAsSent: []byte(id)} }
	key := func(id string) string {
		return idempotencyKeys("shop", provider.Deduplication{}, []provider.Event{event(id)}, nil)[0]
	}
	hashed := func(id string) string { return "shop:sha256:" + hash([]byte(id)) }
	cases := []struct{ name, id, want string }{
		{"a plain id stands as it is", "evt_1:a/B c~", "shop:evt_1:a/B c~"},
		{"200 characters are plain", strings.Repeat("x", 200), "shop:" + strings.Repeat("x", 200)},
		{"201 are hashed", strings.Repeat("x", 201), hashed(strings.Repeat("x", 201))},
		{"3 kB are hashed", strings.Repeat("x", 3000), hashed(strings.Repeat("x", 3000))},
		{"an escape is hashed", `a\u0041`, hashed(`a\u0041`)},
		{"a letter beyond ASCII is hashed", "ü", hashed("ü")},
		{"a byte that is not UTF-8 is hashed", "\xff", hashed("\xff")},
		{"DEL is hashed", "\x7f", hashed("\x7f")},
		{"what looks like a hash is hashed", "sha256:00", hashed("sha256:00")},
		{"what looks like a payload's hash is hashed", "payload:00", hashed("payload:00")},
		{"what looks like an item's key is hashed", "item:2:a", hashed("item:2:a")},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, key(c.id)) })
	}
	require.NotEqual(t, key(`\ud800`), key(`\ud801`), "decoding would make the same of both")
	require.NotEqual(t, key(`\ufffd`), key(`\ud800`))

	fallback := func(bodies ...string) (keys []string) {
		for _, body := range bodies {
			keys = append(keys, idempotencyKeys("shop", provider.Deduplication{}, []provider.Event{{}}, []byte(body))[0])
		}
		return keys
	}
	same := fallback(`{"a":1,"b":2}`, ` {"b":2, "a":1}`, "\xEF\xBB\xBF"+`{"b":2,"a":1}`)
	require.Equal(t, "shop:payload:"+hash([]byte(`{"a":1,"b":2}`)), same[0])
	require.Equal(t, same[0], same[1])
	require.Equal(t, same[0], same[2])
	big := fallback(`{"n":12345678901234567890}`, `{"n":12345678901234567891}`)
	require.NotEqual(t, big[0], big[1], "big numbers differ")
	several := idempotencyKeys("shop", provider.Deduplication{}, []provider.Event{{}, event("x"), {}}, []byte(`[1,2,3]`))
	require.NotEqual(t, several[0], several[2], "two events of one body without ids are two")
	require.Equal(t, "shop:x", several[1])
	alike := idempotencyKeys("shop", provider.Deduplication{}, []provider.Event{event("x"), event("ü"), event("x"), event("y"), event("x"), event("ü")}, nil)
	require.Equal(t, []string{"shop:x", hashed("ü"), "shop:item:2:x", "shop:y", "shop:item:3:x", "shop:item:2:sha256:" + hash([]byte("ü"))}, alike)
}
