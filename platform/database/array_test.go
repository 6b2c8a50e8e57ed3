package database

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAnArrayIsWrittenAsPostgreSQLReadsIt(t *testing.T) {
	text, number := "x", 7
	at := time.Date(2026, 3, 1, 13, 0, 0, 120_000, time.FixedZone("", 3600))
	var noText *string
	var noTime *time.Time
	var noNumber *int
	for _, test := range []struct {
		name   string
		typ    Type
		values []any
		want   string
	}{
		{"nothing", Text, nil, `{}`},
		{"one", Text, []any{"a"}, `{"a"}`},
		{"two", Text, []any{"a", "b"}, `{"a","b"}`},
		{"the empty text is not nothing", Text, []any{""}, `{""}`},
		{"the word NULL is text", Text, []any{"NULL"}, `{"NULL"}`},
		{"nil is NULL", Text, []any{nil}, `{NULL}`},
		{"a quote is escaped", Text, []any{`say "hi"`}, `{"say \"hi\""}`},
		{"a backslash is escaped", Text, []any{`a\`}, `{"a\\"}`},
		{"commas, braces and ticks need nothing", Text, []any{`a,{b}'`}, `{"a,{b}'"}`},
		{"lines and letters stay as they are", Text, []any{"ü\n\t"}, "{\"ü\n\t\"}"},
		{"a pointer is what it points to", Text, []any{&text, noText}, `{"x",NULL}`},
		{"an id is text", UUID, []any{"0195", nil}, `{"0195",NULL}`},
		{"bytes are hex", Bytes, []any{[]byte{0, 0x5c, 0xff}, []byte{}}, `{"\\x005cff","\\x"}`},
		{"numbers are bare", BigInt, []any{-1, int64(1 << 62), &number, noNumber}, `{-1,4611686018427387904,7,NULL}`},
		{"so are booleans", Bool, []any{true, false}, `{true,false}`},
		{"a time is UTC", Times, []any{at, &at, noTime}, `{"2026-03-01T12:00:00.00012Z","2026-03-01T12:00:00.00012Z",NULL}`},
	} {
		t.Run(test.name, func(t *testing.T) { require.Equal(t, test.want, array(test.typ, test.values)) })
	}
	require.PanicsWithValue(t, "database: a column of type text cannot take a float64", func() { array(Text, []any{1.5}) })
}

func TestManyBytesAreParametersOfTheirOwn(t *testing.T) {
	render := func(size int) string {
		r := NewRows("id uuid", "body bytea", "n bigint")
		r.Add("a", make([]byte, size), 1)
		r.Add("b", []byte{1}, 2)
		text, args := unnest(r, []any{"first"})
		require.Equal(t, strings.Count(text, "$"), len(args)-1)
		return text
	}
	require.Equal(t, "SELECT"+" * FROM unnest($2::uuid[], $3::bytea[], $4::bigint[])", render(largeBytes-1))
	require.Equal(t, "SELECT"+" * FROM unnest($2::uuid[], ARRAY[$3::bytea,$4::bytea], $5::bigint[])", render(largeBytes))
}

func TestRowsAreCutToWhatOneStatementTakes(t *testing.T) {
	for _, test := range []struct {
		name      string
		rows, max int
		want      []int
	}{
		{"no rows, no statement", 0, 6, nil},
		{"no bound, one statement", 5, 0, []int{5}},
		{"as many cells as fit", 3, 6, []int{3}},
		{"one more needs another", 4, 6, []int{3, 1}},
		{"half a row does not fit", 4, 7, []int{3, 1}},
		{"one row always fits", 2, 1, []int{1, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewRows("id uuid", "n bigint")
			for i := range test.rows {
				r.Add("x", i)
			}
			var sizes []int
			next := 0
			for _, part := range r.parts(test.max) {
				sizes = append(sizes, part.Len())
				for _, n := range part.values[1] {
					require.Equal(t, next, n)
					next++
				}
			}
			require.Equal(t, test.want, sizes)
		})
	}
}

func TestAWrongRowIsAMistakeOfTheProgram(t *testing.T) {
	require.Panics(t, func() { NewRows("id") })
	require.Panics(t, func() { NewRows("id uuid").Add("a", "b") })
}

func TestAPatternFindsTextLiterally(t *testing.T) {
	for text, want := range map[string]string{
		"": "%%", "abc": "%abc%", "100%": `%100\%%`, "a_b": `%a\_b%`, `a\b`: `%a\\b%`, `\%`: `%\\\%%`,
	} {
		require.Equal(t, want, Contains(text))
	}
}

func TestConditionsAreNumberedInTheirOrder(t *testing.T) {
	var f Filter
	require.Empty(t, f.where())
	f.Add("a = ?", 1)
	f.Add("b IS NULL")
	f.Add("(c, d) < (?, ?)", 2, "?")
	f.Add("e = ?", 3)
	require.Equal(t, " WHERE a = $1 AND b IS NULL AND (c, d) < ($2, $3) AND e = $4", f.where())
	require.Equal(t, []any{1, 2, "?", 3}, f.args)
}
