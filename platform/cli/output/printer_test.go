package output

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

var columns = []Column{
	{Title: "ID", Path: "id", Kind: ID}, {Title: "RECEIVED", Path: "at", Kind: Age}, {Title: "TYPE", Path: "type"},
	{Title: "STATUS", Path: "status", Kind: State}, {Title: "TRIES", Path: "tries", Kind: Number}, {Title: "NOTE", Path: "more.note", Wide: true},
}

func items() []json.RawMessage {
	return []json.RawMessage{
		json.RawMessage(`{"id":"0190a1b2-0000-7000-8000-000000000001","at":"2026-01-05T11:58:00Z","type":"order.created.with.a.long.name","status":"processed","tries":1,"more":{"note":"=1+1"},"n":12345678901234567890}`),
		json.RawMessage(`{"id":"0190a1b2-0000-7000-8000-000000000002","at":"2026-01-05T12:00:30Z","type":"漢字\u001b[2J\u202e\nx","status":"failed","tries":10,"more":{"note":null}}`),
	}
}

func printed(t *testing.T, o Options, do func(p *Printer) error) string {
	t.Helper()
	var out bytes.Buffer
	o.Now = func() time.Time { return noon }
	require.NoError(t, do(New(&out, o)))
	return out.String()
}

func listed(t *testing.T, o Options) string {
	t.Helper()
	return printed(t, o, func(p *Printer) error {
		l := p.List(columns)
		for _, item := range items() { // in parts
			if err := l.Add([]json.RawMessage{item}); err != nil {
				return err
			}
		}
		return l.End()
	})
}

func TestATableFitsTheTerminal(t *testing.T) {
	require.Equal(t, strings.Join([]string{
		"ID                                    AGE  TYPE                            STATUS     TRIES",
		"0190a1b2-0000-7000-8000-000000000001  2m   order.created.with.a.long.name  processed      1",
	}, "\n"), strings.Join(strings.Split(listed(t, Options{Format: Table}), "\n")[:2], "\n"), "in a pipe nothing is shortened")
	for _, width := range []int{20, 40, 60, 79, 80, 81, 120} {
		for _, line := range strings.Split(printed(t, Options{Format: Table, Width: width}, func(p *Printer) error { return p.List(columns).Add(items()) }), "\n") {
			require.LessOrEqual(t, cells(line), max(width, 36), "%d: %s", width, line)
		}
	}
	require.Contains(t, listed(t, Options{Format: Table, Width: 80}), "order.created.with…", "the longest text is shortened")
	require.Contains(t, listed(t, Options{Format: Wide, Width: 80}), "order.created.with.a.long.name", "not in wide tables")
}

func TestNothingInATableControlsTheTerminal(t *testing.T) {
	for _, format := range Formats {
		out := listed(t, Options{Format: format, Colour: true, Width: 80})
		for _, colour := range []string{red, green, bold, plain} {
			out = strings.ReplaceAll(out, colour, "")
		}
		require.NotContains(t, out, "\x1b", format)
		require.NotContains(t, out, "\u202e", format)
	}
	require.Contains(t, listed(t, Options{Format: Table}), `漢字\u001b[2J\u202e x`)
}

func TestColours(t *testing.T) {
	require.Contains(t, listed(t, Options{Format: Table, Colour: true}), red+"failed"+plain)
	require.NotContains(t, listed(t, Options{Format: Table}), "\x1b")
}

func TestTimes(t *testing.T) {
	require.Contains(t, listed(t, Options{Format: Table}), "in 30s")
	utc := listed(t, Options{Format: Table, UTC: true})
	require.Contains(t, utc, "RECEIVED")
	require.Contains(t, utc, "2026-01-05T11:58:00Z")
}

func TestFormatsKeepWhatTheAPISays(t *testing.T) {
	want := func(read []map[string]any) {
		t.Helper()
		require.Len(t, read, 2)
		require.Equal(t, "漢字\x1b[2J\u202e\nx", read[1]["type"])
	}
	var all []map[string]any
	require.NoError(t, json.Unmarshal([]byte(listed(t, Options{Format: JSON})), &all))
	want(all)
	require.Contains(t, listed(t, Options{Format: JSON}), "12345678901234567890")

	all = nil
	for line := range strings.Lines(listed(t, Options{Format: JSONL})) {
		var one map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &one))
		all = append(all, one)
	}
	want(all)

	all = nil
	text := listed(t, Options{Format: YAML})
	require.NoError(t, yaml.Unmarshal([]byte(text), &all))
	want(all)
	require.True(t, strings.HasPrefix(text, "- id: 0190a1b2"), "in the same order")

	lines := strings.Split(listed(t, Options{Format: CSV}), "\n")
	require.Equal(t, "id,received,type,status,tries,note", lines[0])
	require.Contains(t, lines[1], ",2026-01-05T11:58:00Z,")
	require.True(t, strings.HasSuffix(lines[1], ",'=1+1"), "no spreadsheet runs it")
}

func TestEmptyListsAreValid(t *testing.T) {
	for format, want := range map[Format]string{Table: "", JSON: "[]\n", JSONL: "", YAML: "[]\n", CSV: "id,received,type,status,tries,note\n"} {
		require.Equal(t, want, printed(t, Options{Format: format}, func(p *Printer) error { return p.List(columns).End() }), format)
	}
	require.Equal(t, "0190a1b2-0000-7000-8000-000000000001\n0190a1b2-0000-7000-8000-000000000002\n", listed(t, Options{Format: JSON, Quiet: true}))
}

func TestShortening(t *testing.T) {
	require.Equal(t, "abc…", shorten("abcdef", 4))
	require.Equal(t, "漢…", shorten("漢字字", 4), "a wide character takes two cells")
	require.Equal(t, "http:…sink/acme", shortenMiddle("http://127.0.0.1/api/sink/acme", 15))
	require.Equal(t, "short", shortenMiddle("short", 5))
	require.Equal(t, 1, cells("e\u0301"))
}
