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
		text, query, args, fixed := unnest(r, "… $1", []any{"first"})
		require.Equal(t, "… $1", query)
		require.Equal(t, strings.Count(text, "$"), len(args)-1)
		require.Equal(t, size < largeBytes, fixed, "whether the same text serves other rows")
		return text
	}
	require.Equal(t, "SELECT"+" * FROM unnest($2::uuid[], $3::bytea[], $4::bigint[])", render(largeBytes-1))
	require.Equal(t, "SELECT"+" * FROM unnest($2::uuid[], ARRAY[$3::bytea,$4::bytea], $5::bigint[])", render(largeBytes))
}

func TestRowsAreCutToNumbersThatArePrepared(t *testing.T) {
	for _, test := range []struct {
		name string
		rows int
		want []int
	}{
		{"no rows, no statement", 0, nil},
		{"one", 1, []int{1}},
		{"a power of two goes whole", 64, []int{64}},
		{"the greatest goes first", 7, []int{4, 2, 1}},
		{"no part is larger than the bound", 2*maxRows + 3, []int{maxRows, maxRows, 2, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewRows("id uuid", "n bigint")
			for i := range test.rows {
				r.Add("x", i)
			}
			var sizes []int
			next := 0
			for _, part := range powersOfTwo(r) {
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

func TestTheNumberOfRowsIsRoundedUp(t *testing.T) {
	render := func(rows int) (string, string, []any, bool) {
		r := NewRows("id uuid", "n bigint")
		for range rows {
			r.Add("a", 1)
		}
		return valuesList(r, "a = $1 AND b = $2 OR c = $1 OR d = '$.x'", []any{"first", "second"})
	}
	text, query, args, fixed := render(3)
	require.Equal(t, "VALUES (?,?),(?,?),(?,?),(?,?)", text)
	require.Equal(t, "a = $9 AND b = $10 OR c = $9 OR d = '$.x'", query)
	require.Equal(t, []any{"a", 1, "a", 1, "a", 1, nil, nil, "first", "second"}, args)
	require.True(t, fixed)
	text, _, _, fixed = render(1)
	require.Equal(t, "VALUES (?,?)", text)
	require.True(t, fixed)
	_, _, args, fixed = render(maxRows)
	require.Len(t, args, 2+2*maxRows)
	require.True(t, fixed)
	_, _, args, fixed = render(maxRows + 1)
	require.Len(t, args, 2+2*(maxRows+1), "beyond the bound nothing is added")
	require.False(t, fixed)
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
