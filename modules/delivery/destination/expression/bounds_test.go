package expression

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// doubled binds names to one another, each twice what the one before is: joint is what
// stands between the two. In last, @ is the last name.
func doubled(levels int, first, joint, last string) string {
	text, value := "", first
	for i := range levels {
		name := fmt.Sprintf("a%d", i)
		text += "cel.bind(" + name + "," + strings.ReplaceAll(joint, "@", value) + ","
		value = name
	}
	return text + strings.ReplaceAll(last, "@", value) + strings.Repeat(")", levels)
}

var numbers = `{"data":[` + strings.TrimSuffix(strings.Repeat("1,", 5000), ",") + `]}`

// costly are expressions of a few hundred bytes that CEL's own count of steps takes for
// cheap: it counts an operation when it is over, and by the length of a list alone. The
// first took 23 s.
var costly = map[string]string{
	"lists that double and are compared":           doubled(11, `data`, `@+@`, `@ == @`),
	"lists that double and are found different":    doubled(11, `data`, `@+@`, `@ != @`),
	"lists that double and are searched":           doubled(11, `data`, `@+@`, `2 in @`),
	"lists within lists":                           doubled(22, `1`, `[@,@]`, `@ == @`),
	"lists within lists, searched":                 doubled(22, `1`, `[@,@]`, `dyn([3]) in dyn(@)`),
	"maps within maps":                             doubled(22, `1`, `{'a':@,'b':@}`, `@ == @`),
	"lists within maps that a macro makes":         doubled(22, `1`, `{'a':1,'b':2}.transformMap(k, v, @)`, `@ == @`),
	"lists that a macro makes":                     doubled(22, `[1]`, `[1,2].map(x, @)`, `@ == @`),
	"optional lists within lists":                  doubled(22, `optional.of(1)`, `optional.of([@,@])`, `@ == @`),
	"a list that is the message of an error":       doubled(22, `1`, `[@,@]`, `dyn([@]).join() == 'a'`),
	"a list that is a key":                         doubled(22, `1`, `[@,@]`, `{'a': 1}[dyn(@)] == 1`),
	"a join that grows":                            doubled(10, `'aaaaaaaaaaaaaaaaaaaa'`, `[@,@,@].join(@)`, `@.size() > 0`),
	"a separator of the joined text's length":      doubled(9, `['aaaaaaaaaaaaaaaaaaaaaaaaaaaa']`, `@+@`, `@.join(@.join('aaaaaaaaaaaaaaaaaa')).size() > 0`),
	"a text that is put in place of each letter":   doubled(6, `'aaaaaaaaaaaaaaaa'`, `@.replace('a', @)`, `@.size() > 0`),
	"texts that double":                            doubled(24, `'aaaaaaaaaaaaaaaaaa'`, `@+@`, `@ != ''`),
	"a text that is formatted":                     doubled(12, `'aaaaaaaaaaaaaaaaaa'`, `'%s%s%s%s'.format([@,@,@,@])`, `@.size() > 0`),
	"a list that is formatted":                     doubled(20, `[1.5]`, `[@,@]`, `'%s'.format([@]).size() > 0`),
	"a text that is quoted again and again":        doubled(24, `'""""""""""'`, `strings.quote(@)`, `@.size() > 0`),
	"a search at each place of a text":             doubled(13, `'aaaaaaaa'`, `@+@`, `@.indexOf(@ + 'b') == 1 || (@ + @).indexOf(@ + 'b') == 1`),
	"a search from the end":                        doubled(13, `'aaaaaaaa'`, `@+@`, `(@ + @).lastIndexOf('b' + @) == 1`),
	"a regular expression over a long text":        doubled(11, `'aaaaaaaa'`, `@+@`, `@.matches('(a|aa){300}$')`),
	"a regular expression in a loop":               `data.all(a, string(a).matches('x{900}') == false)`,
	"a text that is cut again and again":           doubled(12, `'aaaaaaaa'`, `@+@`, `data.all(a, @.substring(a).size() > 0)`),
	"time zones, which are read from files":        `data.all(a, timestamp('2026-01-31T12:00:00Z').getHours('Europe/Berlin') == 13)`,
	"a text that is measured in a loop":            doubled(14, `'aaaaaaaa'`, `@+@`, `data.all(a, @.size() > 0)`),
	"optional lists that are compared in a loop":   `cel.bind(o, optional.of(data), data.all(a, o == o))`,
	"an event that is no regular expression":       `data.exists(a, 'a'.matches('(' + string(a)) || {'b': data}.c == 1)`,
	"a view of many lists, looked at to its depth": doubled(90, `data`, `@+[1]`, `@.all(x, @.all(y, x == y))`),
}

// A costly expression ends by what it costs, not by the clock: nothing that it makes is
// large, and nothing that it does takes long.
func TestACostlyExpressionEnds(t *testing.T) {
	for name, text := range costly {
		t.Run(name, func(t *testing.T) {
			require.LessOrEqual(t, len(text), MaxBytes)
			filter, err := New().Filter(text)
			require.NoError(t, err)
			facts := NewFacts(event(numbers))
			_, err = facts.document()
			require.NoError(t, err)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = filter.Matches(t.Context(), facts)
			runtime.ReadMemStats(&after)
			require.ErrorContains(t, err, "cost limit exceeded")
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(24<<20))
			require.Greater(t, facts.Cost(), uint64(FilterCost), "and what it cost is known")
		})
	}
}

// What is charged for is what is done: the same functions on what an event usually has cost
// next to nothing.
func TestAnOrdinaryExpressionCostsLittle(t *testing.T) {
	for _, text := range []string{
		`eventType == 'order.created' && data.amount > 100`,
		`eventType.matches('^order\\.(created|paid)$')`,
		`data.items.exists(i, i.sku in ['a', 'b', 'c']) && data.items != []`,
		`data.items.map(i, i.sku).join(', ').replace('a', 'b').indexOf('b') >= 0`,
		`data.items + [{'sku': 'c'}] == data.items + [{'sku': 'c'}]`,
		`'%s has %d'.format([data.id, data.amount]).size() > 5`,
		`subject.split('-')[1] == data.id && subject.contains('order')`,
	} {
		filter, err := New().Filter(text)
		require.NoError(t, err, text)
		facts := NewFacts(event(order))
		matches, err := filter.Matches(t.Context(), facts)
		require.NoError(t, err, text)
		require.True(t, matches, text)
		require.Less(t, facts.Cost(), uint64(500), text)
	}
}

// What is read of an event is read once for all filters, and is part of the cost.
func TestReadingAnEventIsChargedOnce(t *testing.T) {
	long := event(`{"data":{"text":"` + strings.Repeat("a", 8000) + `"}}`)
	long.Headers = []byte(`{"x-shop":["` + strings.Repeat("b", 8000) + `"]}`)
	facts := NewFacts(long)
	ask := func(text string) uint64 {
		filter, err := New().Filter(text)
		require.NoError(t, err)
		before := facts.Cost()
		_, err = filter.Matches(t.Context(), facts)
		require.NoError(t, err)
		return facts.Cost() - before
	}
	require.Less(t, ask(`eventType == 'a'`), uint64(10))
	require.Greater(t, ask(`has(data.text)`), uint64(1000))
	require.Less(t, ask(`has(data.text)`), uint64(10))
	require.Greater(t, ask(`'x-shop' in headers`), uint64(1000))
	require.Less(t, ask(`'x-shop' in headers`), uint64(10))
}

// A large event is no costly one: a transformation may pass it on whole.
func TestALargeEventIsTransformed(t *testing.T) {
	large := `{"data":[` + strings.TrimSuffix(strings.Repeat("1,", 1<<20), ",") + `]}`
	transform, err := New().Transform(`{'all': data, 'of': source}`)
	require.NoError(t, err)
	body, err := transform.Body(t.Context(), NewFacts(event(large)))
	require.NoError(t, err)
	require.Greater(t, len(body), 2<<20)
	filter, err := New().Filter(`data.size() == 1048576 && data[7] == 1`)
	require.NoError(t, err)
	matches, err := filter.Matches(t.Context(), NewFacts(event(large)))
	require.NoError(t, err)
	require.True(t, matches)
}

// An evaluation ends with its context, in a loop and before each operation that is charged for.
func TestAnEvaluationEndsWithItsContext(t *testing.T) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for _, text := range []string{`data.all(a, data.all(b, a > 0))`, `data + data == data`, `data.exists(a, a == 2)`} {
		filter, err := New().Filter(text)
		require.NoError(t, err)
		facts := NewFacts(event(numbers))
		_, err = filter.Matches(over, facts)
		require.EqualError(t, err, "it took longer than it may", text)
		require.Less(t, facts.Cost(), uint64(len(numbers)/bytesRead+200), "at once")
	}
	transform, err := New().Transform(`data`)
	require.NoError(t, err)
	_, err = transform.Body(over, NewFacts(event(numbers)))
	require.EqualError(t, err, "it took longer than it may", "as does the writing of what it gave")
}

func TestRegularExpressionsAreBounded(t *testing.T) {
	language := New()
	for text, want := range map[string]string{
		`eventType.matches('(a{100}){10}')`:                        "",
		`eventType.matches('(a{100}){100}')`:                       "invalid matches argument",
		`eventType.matches('` + strings.Repeat("a{900}", 3) + `')`: "cannot be evaluated: a regular expression has 2702 instructions, and at most 2000 are allowed; use shorter repetitions",
	} {
		_, err := language.Filter(text)
		if want == "" {
			require.NoError(t, err, text)
			continue
		}
		require.ErrorContains(t, err, want, text)
	}
	filter, err := language.Filter(`eventType.matches(data.pattern)`)
	require.NoError(t, err)
	for pattern, want := range map[string]string{
		"^order":                    "",
		strings.Repeat("a", 257):    "a regular expression that the event holds may have at most 256 bytes",
		strings.Repeat("a{900}", 3): "a regular expression has 2702 instructions, and at most 2000 are allowed; use shorter repetitions",
	} {
		matches, err := filter.Matches(t.Context(), NewFacts(event(`{"data":{"pattern":"`+pattern+`"}}`)))
		if want == "" {
			require.NoError(t, err)
			require.True(t, matches)
			continue
		}
		require.EqualError(t, err, want)
	}
}

// An error of CEL may repeat all of a long text.
func TestAnErrorOverALongTextIsShort(t *testing.T) {
	transform, err := New().Transform(`timestamp(data)`)
	require.NoError(t, err)
	_, err = transform.Body(t.Context(), NewFacts(event(`{"data":"`+strings.Repeat("ada@example.com ", 10_000)+`"}`)))
	require.EqualError(t, err, "it failed over a text that is too long to say more")
	require.False(t, errors.Is(err, ErrLacking))
}

// What the functions of this package do in place of CEL's own is what CEL's do.
func TestMeteredFunctionsKeepTheirMeaning(t *testing.T) {
	language := New()
	for text, want := range map[string]string{
		`[1] + [2] + [] == [1, 2]`:                            `true`,
		`([1] + ['a', null])[2] == null`:                      `true`,
		`'a' + 'b' + string(1)`:                               `"ab1"`,
		`b'a' + b'b'`:                                         `"YWI="`,
		`1 + 2`:                                               `3`,
		`1.5 + 2.5 == 4.0`:                                    `true`,
		`duration('1s') + duration('2s')`:                     `"3s"`,
		`data.amount == 120.0 && data.amount != 121`:          `true`,
		`'a' == data.note`:                                    `false`,
		`{'a': [1, 2.0]} == {'a': [1.0, 2]}`:                  `true`,
		`'amount' in data && !('x' in data)`:                  `true`,
		`3 in [1, 2] || dyn(2u) in [1, 2]`:                    `true`,
		`[[1, 2], [3]].map(l, l + [0])`:                       `[[1,2,0],[3,0]]`,
		`{'a': 1}.transformMap(k, v, v + 1)`:                  `{"a":2}`,
		`data.id.matches('^7$')`:                              `true`,
		`matches(data.id, '^8$')`:                             `false`,
		`timestamp('2026-01-31T23:00:00Z').getDate('+02:00')`: `1`,
		`timestamp('2026-01-31T23:00:00Z').getDate()`:         `31`,
		`bytes('a') == b'a' && int('7') == 7`:                 `true`,
	} {
		transform, err := language.Transform(text)
		require.NoError(t, err, text)
		body, err := transform.Body(t.Context(), NewFacts(event(order)))
		require.NoError(t, err, text)
		require.Equal(t, want, string(body), text)
	}
	for text, want := range map[string]string{
		`data.id + 1`:              "no such overload",
		`data.id in data.amount`:   "no such overload",
		`data.amount.matches('a')`: "no such overload: matches",
		`data.missing == 1`:        "no such key: missing",
		`1 == data.missing`:        "no such key: missing",
	} {
		transform, err := language.Transform(text)
		require.NoError(t, err, text)
		_, err = transform.Body(t.Context(), NewFacts(event(order)))
		require.ErrorContains(t, err, want, text)
	}
}
