package database

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestArraysUsePostgreSQLsBinaryFormat(t *testing.T) {
	text, number := "x", 7
	at := time.Date(2000, 1, 1, 1, 0, 0, 1_499, time.FixedZone("", 3600))
	before := time.Date(1999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	var noText *string
	var noTime *time.Time
	var noNumber *int
	const null = "\xff\xff\xff\xff"
	one, eight := "\x00\x00\x00\x01", "\x00\x00\x00\x08"
	for _, test := range []struct {
		name   string
		typ    Type
		values []any
		want   string // after the head
	}{
		{"one", Text, []any{"a"}, one + "a"},
		{"the empty text is not NULL", Text, []any{""}, "\x00\x00\x00\x00"},
		{"nil is NULL", Text, []any{nil}, null},
		{"nothing needs an escape", Text, []any{`"\{},`}, "\x00\x00\x00\x05" + `"\{},`},
		{"a pointer is what it points to", Text, []any{&text, noText}, one + "x" + null},
		{"an id is its bytes", UUID, []any{"00010203-0405-0607-0809-0a0b0c0d0e0f", nil},
			"\x00\x00\x00\x10" + "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f" + null},
		{"bytes are bytes", Bytes, []any{[]byte{0}, []byte{}}, one + "\x00" + "\x00\x00\x00\x00"},
		{"numbers", BigInt, []any{-1, int64(1 << 62), &number, noNumber}, eight + "\xff\xff\xff\xff\xff\xff\xff\xff" +
			eight + "\x40\x00\x00\x00\x00\x00\x00\x00" + eight + "\x00\x00\x00\x00\x00\x00\x00\x07" + null},
		{"booleans", Bool, []any{true, false}, one + "\x01" + one + "\x00"},
		{"a time is microseconds since 2000, rounded", Times, []any{at, &before, noTime},
			eight + "\x00\x00\x00\x00\x00\x00\x00\x01" + eight + "\xff\xff\xff\xff\xff\xff\xff\xff" + null},
	} {
		t.Run(test.name, func(t *testing.T) {
			head := "\x00\x00\x00\x01\x00\x00\x00\x01" + "\x00\x00" + string([]byte{byte(oids[test.typ] >> 8), byte(oids[test.typ])}) +
				"\x00\x00\x00" + string([]byte{byte(len(test.values))}) + one
			got, err := arrayOf(test.typ, test.values...).BinaryValue()
			require.NoError(t, err)
			require.Equal(t, head+test.want, string(got))
		})
	}
	_, err := arrayOf(UUID, "x' OR 1").BinaryValue()
	require.ErrorContains(t, err, `"x' OR 1" is not a UUID`)
	require.PanicsWithValue(t, "database: the column c of type text cannot store this value", func() { arrayOf(Text, 1.5) })
}

func arrayOf(typ Type, values ...any) array {
	r := NewRows("c " + string(typ))
	for _, v := range values {
		r.Add(v)
	}
	return array{&r.columns[0]}
}

func TestALargeFirstValueReservesNoMemoryForTheOthers(t *testing.T) {
	r := NewRows("body bytea").Expect(256)
	r.Add(make([]byte, 3<<20))
	require.Less(t, cap(r.columns[0].data), 4<<20)
}

func TestRowsAllocateNoMemoryEach(t *testing.T) {
	id, text, at, n := "00010203-0405-0607-0809-0a0b0c0d0e0f", strings.Repeat("x", 50), time.Now(), 7
	body := []byte(text)
	r := NewRows("id uuid", "name text", "other text", "body bytea", "at timestamptz", "n bigint", "b boolean")
	add := func() { r.Add(id, text, &text, body, at, &n, true) }
	r.Expect(1 << 12)
	add()
	require.Less(t, testing.AllocsPerRun(1<<11, add), 0.1)
}

func TestRowsAreSplitIntoPreparedSizes(t *testing.T) {
	for _, test := range []struct {
		name string
		rows int
		want []int
	}{
		{"no rows, no statement", 0, nil},
		{"one", 1, []int{1}},
		{"a power of two is not split", 64, []int{64}},
		{"the largest part comes first", 7, []int{4, 2, 1}},
		{"no part exceeds the limit", 2*maxRows + 3, []int{maxRows, maxRows, 2, 1}},
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
				part.columns[1].values(func(_ int, n any) {
					require.Equal(t, int64(next), n)
					next++
				})
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
	require.Equal(t, []any{"a", int64(1), "a", int64(1), "a", int64(1), nil, nil, "first", "second"}, args)
	require.True(t, fixed)
	text, _, _, fixed = render(1)
	require.Equal(t, "VALUES (?,?)", text)
	require.True(t, fixed)
	_, _, args, fixed = render(maxRows)
	require.Len(t, args, 2+2*maxRows)
	require.True(t, fixed)
	_, _, args, fixed = render(maxRows + 1)
	require.Len(t, args, 2+2*(maxRows+1), "above the limit nothing is added")
	require.False(t, fixed)
}

func TestAnInvalidRowPanics(t *testing.T) {
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

func TestConditionsAreNumberedInOrder(t *testing.T) {
	var f Filter
	require.Empty(t, f.where())
	f.Add("a = ?", 1)
	f.Add("b IS NULL")
	f.Add("(c, d) < (?, ?)", 2, "?")
	f.Add("e = ?", 3)
	require.Equal(t, " WHERE a = $1 AND b IS NULL AND (c, d) < ($2, $3) AND e = $4", f.where())
	require.Equal(t, []any{1, 2, "?", 3}, f.args)
}
