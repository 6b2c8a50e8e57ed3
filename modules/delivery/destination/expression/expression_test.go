package expression

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
)

func event(payload string) contract.NewEvent {
	subject := "order-7"
	return contract.NewEvent{Source: "shop", Provider: "acme", EventType: "order.created", Subject: &subject, Payload: []byte(payload),
		Headers: []byte(`{"x-shop":["berlin"],"x-many":["a","b"],"x-token":["[redacted]"],"x-mixed":["a","[redacted]"]}`)}
}

const order = `{"provider":"acme","eventType":"order.created","data":{"id":"7","amount":120,"price":1.10,"big":12345678901234567890,
	"items":[{"sku":"a"},{"sku":"b"}],"note":null,"flag":true}}`

func TestFilter(t *testing.T) {
	language := New()
	for _, c := range []struct {
		name, text string
		want       bool
		problem    string // of the evaluation; "lacking: …" where the event lacks something
	}{
		{"an event's type", `eventType == 'order.created'`, true, ""},
		{"another type", `eventType == 'order.deleted'`, false, ""},
		{"a family of types", `eventType.startsWith('order.')`, true, ""},
		{"a pattern", `eventType.matches('^order\\.(created|paid)$')`, true, ""},
		{"one of a list", `eventType in ['a', 'order.created']`, true, ""},
		{"subject, source and provider", `subject == 'order-7' && source == 'shop' && provider == 'acme'`, true, ""},
		{"a header, by its lower-case name", `headers['x-shop'] == 'berlin'`, true, ""},
		{"a header that came twice", `headers['x-many'] == 'a, b'`, true, ""},
		{"a header that is a credential is not there", `'x-token' in headers || 'x-mixed' in headers`, false, ""},
		{"a header that did not come", `headers['x-else'] == 'a'`, false, "lacking: no such key: x-else"},
		{"the payload", `payload.provider == 'acme' && payload.data.id == '7'`, true, ""},
		{"one over a bound", `data.amount > 119`, true, ""},
		{"at the bound", `data.amount > 120`, false, ""},
		{"a whole number against a fraction", `data.amount > 119.5`, true, ""},
		{"a fraction", `data.price == 1.1`, true, ""},
		{"a fraction on the right", `1.1 == data.price`, true, ""},
		{"a number beyond 2^53, exactly", `data.big == 12345678901234567890u`, true, ""},
		{"its neighbour", `data.big == 12345678901234567891u`, false, ""},
		{"some item", `data.items.exists(i, i.sku == 'b')`, true, ""},
		{"every item", `data.items.all(i, i.sku == 'b')`, false, ""},
		{"a member that is there", `has(data.note)`, true, ""},
		{"a member that is not", `has(data.discount)`, false, ""},
		{"a member that is asked for and not there", `data.discount > 5`, false, "lacking: no such key: discount"},
		{"one that is not needed any more", `data.discount > 5 || eventType == 'order.created'`, true, ""},
		{"an optional member", `data.?discount.orValue(0) > 5`, false, ""},
		{"an item beyond the end", `data.items[2].sku == 'b'`, false, "lacking: index out of bounds: 2"},
		{"a truth of the event's own", `data.flag`, true, ""},
		{"a text that is asked whether it is true", `data.id`, false, "it gave a string, neither true nor false"},
		{"types that cannot be compared", `data.id > 5`, false, "no such overload"},
		{"a member of null", `data.note.text == 'a'`, false, "lacking: no such key: text"},
		{"a member of a text", `data.id.text == 'a'`, false, "lacking: no such key: text"},
		{"null itself", `data.note == null`, true, ""},
		{"a null that is compared", `data.note > 5`, false, "no such overload: _>_"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := language.Filter(c.text)
			require.NoError(t, err)
			got, err := f.Matches(t.Context(), NewFacts(event(order)))
			require.Equal(t, c.want, got)
			if c.problem == "" {
				require.NoError(t, err)
				return
			}
			problem, lacks := strings.CutPrefix(c.problem, "lacking: ")
			require.EqualError(t, err, problem)
			require.Equal(t, lacks, errors.Is(err, ErrLacking))
		})
	}
}

func TestTransform(t *testing.T) {
	language := New()
	for _, c := range []struct{ name, text, payload, want, problem string }{
		{"an object of one's own", `{'id': data.id, 'kind': eventType, 'of': source}`, order, `{"id":"7","kind":"order.created","of":"shop"}`, ""},
		{"names are sorted, so that every attempt is the same", `{'b': 1, 'a': 2, 'c': 3}`, order, `{"a":2,"b":1,"c":3}`, ""},
		{"a list", `data.items.map(i, i.sku)`, order, `["a","b"]`, ""},
		{"a text", `'order ' + data.id`, order, `"order 7"`, ""},
		{"signs that HTML knows stay", `'<a> & b'`, order, `"<a> & b"`, ""},
		{"a whole number", `data.amount`, order, `120`, ""},
		{"a number that was worked out", `data.amount * 2 + 1`, order, `241`, ""},
		{"a fraction that was worked out", `data.price * 2.0`, order, `2.2`, ""},
		{"null, true and false", `[data.note, data.flag, !data.flag]`, order, `[null,true,false]`, ""},
		{"what the event does not have", `{'a': data.discount}`, order, "", "no such key: discount"},
		{"what it may not have", `{'a': 1, ?'b': data.?discount, ?'c': data.?id}`, order, `{"a":1,"c":"7"}`, ""},
		{"an optional value that is absent", `data.?discount`, order, "", "an optional value is absent; give it one with orValue"},
		{"all but one member", `data.transformMap(k, v, !(k in ['items', 'note', 'flag', 'big']), v)`, order, `{"amount":120,"id":"7","price":1.10}`, ""},
		{"bytes are base64", `b'abc'`, order, `"YWJj"`, ""},
		{"a moment", `timestamp('2026-01-31T12:00:00Z')`, order, `"2026-01-31T12:00:00Z"`, ""},
		{"names that are numbers", `{1: 'a'}`, order, `{"1":"a"}`, ""},
		{"a type is no JSON", `type(data.id)`, order, "", "a value of the type type cannot be JSON"},
		{"an infinite number", `1.0 / 0.0`, order, "", "a number is infinite or none, which JSON has no word for"},

		{"numbers pass as they came", `data`, `{"data":[12345678901234567890,1.10,-0,0,1e2,1E+2,123456789012345678901234567890,-9223372036854775808,1e400,0.1]}`,
			`[12345678901234567890,1.10,-0,0,1e2,1e2,123456789012345678901234567890,-9223372036854775808,1e400,0.1]`, ""},
		{"one by one, too", `[data.a, data.b, data.c]`, `{"data":{"a":12345678901234567890,"b":1.10,"c":0.12345678901234567891}}`,
			`[12345678901234567890,1.10,0.12345678901234567891]`, ""},
		{"neighbours beyond 2^53", `data`, `{"data":[9007199254740992,9007199254740993]}`, `[9007199254740992,9007199254740993]`, ""},
		{"two fractions that a double takes for one", `data`, `{"data":[0.12345678901234567891,0.12345678901234567892]}`, "",
			"the event has numbers with more digits than a double keeps, which cannot be told apart any more"},
		{"as many digits as a double is sure to keep", `data`, `{"data":[0.123456789012345,0.1234567890123450]}`, `[0.123456789012345,0.123456789012345]`, ""},
		{"they do not matter where they are not sent", `data[2]`, `{"data":[0.12345678901234567891,0.12345678901234567892,3]}`, `3`, ""},
		{"two numbers beyond every double", `data`, `{"data":[1e400,1e401]}`, "", "the event has numbers with more digits than a double keeps, which cannot be told apart any more"},
		{"half of a character is replaced", `data`, `{"data":"a\ud800"}`, "\"a\uFFFD\"", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := language.Transform(c.text)
			require.NoError(t, err)
			body, err := e.Body(t.Context(), NewFacts(event(c.payload)))
			if c.problem != "" {
				require.EqualError(t, err, c.problem)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, string(body))
		})
	}
}

func TestMistakesAreFoundWhenAnExpressionIsSaved(t *testing.T) {
	language := New()
	for _, c := range []struct{ name, text, want string }{
		{"a name that there is none of", `eventTyp == 'a'`, "is no valid CEL expression: line 1, column 1: undeclared reference to 'eventTyp' (did you mean 'eventType'?)"},
		{"half an expression", "eventType ==\n", "is no valid CEL expression: line 2, column 1: Syntax error: mismatched input"},
		{"types that do not go together", `eventType > 5`, "is no valid CEL expression: line 1, column 11: found no matching overload for '_>_' applied to '(string, int)'"},
		{"a text", `eventType`, "must be true or false for each event, such as eventType == 'order.created'"},
		{"a pattern that is none", `eventType.matches('[')`, "is no valid CEL expression: line 1, column 19: invalid matches argument"},
		{"one byte too long", `eventType == '` + strings.Repeat("a", MaxBytes-14) + `'`, "must have at most 4096 bytes"},
		{"nested without end", strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200), "is no valid CEL expression"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := language.Filter(c.text)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
	_, err := language.Filter(`eventType == '` + strings.Repeat("a", MaxBytes-15) + `'`)
	require.NoError(t, err, "just short enough")
}

// An expression that is too dear ends with an error, soon, whatever it builds.
func TestAnExpressionHasABound(t *testing.T) {
	numbers := `{"data":[` + strings.TrimSuffix(strings.Repeat("1,", 5000), ",") + `]}`
	for name, text := range map[string]string{
		"loops within loops":   `data.all(a, data.all(b, data.all(c, a + b + c > 0)))`,
		"lists that double":    `cel.bind(a, data + data, cel.bind(b, a + a, cel.bind(c, b + b, cel.bind(d, c + c, (d + d).map(x, d).map(y, y + y).size() > 0))))`,
		"a text that explodes": `'a'` + strings.Repeat(`.replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')`, 8) + `.size() > 0`,
	} {
		t.Run(name, func(t *testing.T) {
			f, err := New().Filter(text)
			require.NoError(t, err)
			_, err = f.Matches(t.Context(), NewFacts(event(numbers)))
			require.ErrorContains(t, err, "cost limit exceeded")
		})
	}
}
