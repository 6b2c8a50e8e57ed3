package bulk

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"integration-gateway/platform/contract"
)

// What a dry run shows of each event that would change.
const (
	mostChanges = 20
	mostShown   = 200 // characters of a value
	deepest     = 50  // levels that are compared; what is below is one value
)

type (
	// changes is what normalizing anew would change.
	changes struct {
		Changed   int64          `json:"changed"` // events
		Unchanged int64          `json:"unchanged"`
		Failing   int64          `json:"failing"` // the mapping of now makes nothing of them
		First     []changedEvent `json:"first"`   // the oldest 20 that change or fail
	}
	changedEvent struct {
		EventID string   `json:"eventId"`
		Problem *string  `json:"problem"` // why it fails
		Changes []change `json:"changes"` // the first 20, by path
		More    bool     `json:"more"`    // there are more
	}
	// change is a difference between two canonical events.
	change struct {
		Path   string  `json:"path"`   // such as $.data.items[2].sku
		Before *string `json:"before"` // as JSON text, cut at 200 characters; null where there was nothing
		After  *string `json:"after"`  // the same
	}
)

// compare counts what normalizing these events anew would change, unless sum is nil. It reads a
// few bodies at a time.
func (m *Replays) compare(ctx context.Context, sum *changes, events []contract.ReplayEvent) error {
	if sum == nil {
		return nil
	}
	for batch := range slices.Chunk(events, m.cfg.Batch) {
		ids := make([]string, len(batch))
		for i, e := range batch {
			ids[i] = e.EventID
		}
		list, err := m.d.Events.Renormalize(ctx, ids)
		if err != nil {
			return err
		}
		byEvent := make(map[string]contract.Renormalized, len(list))
		for _, r := range list {
			byEvent[r.EventID] = r
		}
		for _, eventID := range ids {
			if r, is := byEvent[eventID]; is { // else it was erased meanwhile
				sum.add(r)
			}
		}
	}
	return nil
}

func (s *changes) add(r contract.Renormalized) {
	shown := changedEvent{EventID: r.EventID, Changes: []change{}}
	switch {
	case r.Problem != nil:
		s.Failing++
		text := r.Problem.Error()
		shown.Problem = cut(&text)
	case bytes.Equal(r.Stored, r.Payload):
		s.Unchanged++
		return
	default:
		if shown.Changes = diff(r.Stored, r.Payload); len(shown.Changes) == 0 { // written differently
			s.Unchanged++
			return
		}
		s.Changed++
		if shown.More = len(shown.Changes) > mostChanges; shown.More {
			shown.Changes = shown.Changes[:mostChanges]
		}
	}
	if len(s.First) < firstShown {
		s.First = append(s.First, shown)
	}
}

// diff returns how one JSON document differs from another, by path, and one difference more than
// are shown at most. Numbers and strings are compared as they are written: 1.10 is not 1.1.
func diff(before, after []byte) []change {
	d := differ{}
	d.value("$", before, after, 0)
	return d.list
}

type differ struct{ list []change }

func (d *differ) full() bool { return len(d.list) > mostChanges }

func (d *differ) value(path string, before, after json.RawMessage, depth int) {
	before, after = bytes.TrimSpace(before), bytes.TrimSpace(after)
	switch {
	case d.full() || bytes.Equal(before, after):
	case depth < deepest && opens(before, '{') && opens(after, '{'):
		d.objects(path, before, after, depth+1)
	case depth < deepest && opens(before, '[') && opens(after, '['):
		d.arrays(path, before, after, depth+1)
	default:
		d.add(path, before, after)
	}
}

func (d *differ) add(path string, before, after json.RawMessage) {
	d.list = append(d.list, change{Path: path, Before: shown(before), After: shown(after)})
}

func (d *differ) objects(path string, before, after json.RawMessage, depth int) {
	var old, now map[string]json.RawMessage
	if json.Unmarshal(before, &old) != nil || json.Unmarshal(after, &now) != nil {
		d.add(path, before, after)
		return
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(old)), maps.Keys(now))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		d.value(path+member(name), old[name], now[name], depth)
	}
}

func (d *differ) arrays(path string, before, after json.RawMessage, depth int) {
	var old, now []json.RawMessage
	if json.Unmarshal(before, &old) != nil || json.Unmarshal(after, &now) != nil {
		d.add(path, before, after)
		return
	}
	for i := range max(len(old), len(now)) {
		var a, b json.RawMessage
		if i < len(old) {
			a = old[i]
		}
		if i < len(now) {
			b = now[i]
		}
		if d.value(path+"["+strconv.Itoa(i)+"]", a, b, depth); d.full() {
			return
		}
	}
}

func opens(text []byte, bracket byte) bool { return len(text) > 0 && text[0] == bracket }

// member is a step of a JSON path (RFC 9535) to a member.
func member(name string) string {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return "[" + strconv.Quote(name) + "]"
		}
	}
	if name == "" {
		return `[""]`
	}
	return "." + name
}

// shown is a value as it is shown; nil for none.
func shown(value []byte) *string {
	if len(value) == 0 {
		return nil
	}
	text := string(bytes.ToValidUTF8(value, []byte(string(utf8.RuneError))))
	return cut(&text)
}

func cut(text *string) *string {
	n := 0
	for i := range *text {
		if n == mostShown {
			short := (*text)[:i] + "…"
			return &short
		}
		n++
	}
	return text
}
