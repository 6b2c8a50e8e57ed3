package audit

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// An entry's id is a base, which the entries of one group share, and in its last four digits
// the entry's place, from 1. The group's own id is the base with place 0.
const (
	placesPerBase = 256
	baseDigits    = 32
)

// A group holds entries of entities that were made at most groupedAfter before it, so that
// an entity's id tells which groups can hold its entries. Clocks differ, so an entity may
// also seem to be made up to groupedBefore later. Other entries are rows of audit_entries.
const (
	groupedAfter  = time.Minute
	groupedBefore = 2 * time.Second
)

// commonActions are the actions that every event leaves. Only these are in groups, each
// counted in the column of the same place in countColumns.
var (
	commonActions = []string{"webhook.received", "event.normalized", "event.queued", "event.processed"}
	countColumns  = []string{"received", "normalized", "queued", "processed"}
)

// commonTypeOf returns the entity type of entries in groups, by their action.
func commonTypeOf(action string) string {
	if action == commonActions[0] {
		return contract.EntityWebhookEvent
	}
	return contract.EntityNormalizedEvent
}

// baseOf returns the base of an id with place 0.
func baseOf(entryID string) string { return entryID[:baseDigits] + "0000" }

// placed returns the id of a place, from 1, with the base of an id.
func placed(base string, place int) string {
	return base[:baseDigits] + fmt.Sprintf("%04x", place)
}

// group is a row of audit_groups.
type group struct {
	ID         string     `db:"id"`
	Received   int        `db:"received"`
	Normalized int        `db:"normalized"`
	Queued     int        `db:"queued"`
	Processed  int        `db:"processed"`
	Entities   []byte     `db:"entities"`
	CreatedAt  clock.Time `db:"created_at"`
	Entries    string     `db:"entries"`
}

// count is the number of the group's entries.
func (g group) count() int { return g.Received + g.Normalized + g.Queued + g.Processed }

// expand returns the entries of a group in their order.
func (g group) expand() ([]entry, error) {
	var items []*[3]json.RawMessage
	if err := json.Unmarshal([]byte(g.Entries), &items); err != nil {
		return nil, fmt.Errorf("read the audit group %s: %w", g.ID, err)
	}
	entries := make([]entry, 0, len(items))
	for i, item := range items {
		if item == nil {
			continue // it is a row of audit_entries
		}
		if slices.ContainsFunc(item[:], func(part json.RawMessage) bool { return len(part) == 0 }) || item[2][0] != '{' {
			return nil, fmt.Errorf("read the audit group %s: place %d is not an action, an id and an object", g.ID, i+1)
		}
		action, entityID := unquoted(item[0]), unquoted(item[1])
		entries = append(entries, entry{ID: placed(g.ID, i+1), EntityType: commonTypeOf(action), EntityID: &entityID,
			Action: action, Actor: contract.ActorGateway, Details: string(item[2]), CreatedAt: g.CreatedAt})
	}
	return entries, nil
}

// unreadable is the action of the entry that stands for a group, or is shown of an entry, that
// cannot be read: somebody changed it in the database. The others are shown nevertheless.
const unreadable = "audit.unreadable"

// readable returns the entries of a group, or one that stands for all of them and names the group.
func (g group) readable(log *slog.Logger) []entry {
	entries, err := g.expand()
	if err == nil {
		return entries
	}
	log.Error("an audit group cannot be read; gateway audit verify tells whether it was changed", "group", g.ID, "error", err)
	details, _ := json.Marshal(map[string]string{"group": g.ID, "error": err.Error()}) // texts always marshal
	return []entry{{ID: g.ID, EntityType: contract.EntityRecords, Action: unreadable, Actor: contract.ActorGateway, Details: string(details),
		CreatedAt: g.CreatedAt}}
}

// readable returns the entry, with other details where they are not JSON.
func (e entry) readable() entry {
	if !json.Valid([]byte(e.Details)) {
		details, _ := json.Marshal(map[string]string{"unreadable": strings.ToValidUTF8(e.Details, "\uFFFD")}) // texts always marshal
		e.Details = string(details)
	}
	return e
}

// unquoted returns a JSON string that has no escapes.
func unquoted(text json.RawMessage) string { return strings.Trim(string(text), `"`) }

// grouping collects entries with one base.
type grouping struct {
	base     string
	places   int // given
	written  int // places in entries
	counts   []int
	known    map[string]bool // entities
	entities []byte
	entries  []byte
}

func newGrouping(base string) *grouping {
	return &grouping{base: baseOf(base), counts: make([]int, len(countColumns)), known: map[string]bool{}}
}

// next gives the next place and returns the id of its entry, which may be in the group or
// not.
func (g *grouping) next() string {
	g.places++
	return placed(g.base, g.places)
}

// add puts an entry into the group, at the place that next gave last; false if the entry
// must be a row of audit_entries.
func (g *grouping) add(e contract.AuditEntry, details string) bool {
	common := slices.Index(commonActions, e.Action)
	if common < 0 || e.EntityType != commonTypeOf(e.Action) || e.Actor != contract.ActorGateway ||
		e.EntityID == nil || !g.reaches(*e.EntityID) || !readableInSQL(details) {
		return false
	}
	for ; g.written < g.places-1; g.written++ {
		g.entries = append(g.separated(), "null"...)
	}
	g.entries = append(g.separated(), `["`...)
	g.entries = append(append(append(g.entries, e.Action...), `","`...), *e.EntityID...)
	g.entries = append(append(append(g.entries, `",`...), details...), ']')
	g.written++
	g.counts[common]++
	if !g.known[*e.EntityID] {
		g.known[*e.EntityID] = true
		g.entities = append(g.entities, markOf(*e.EntityID)...)
	}
	return true
}

// separated returns the entries, ready for another one.
func (g *grouping) separated() []byte {
	if len(g.entries) == 0 {
		return append(g.entries, '[')
	}
	return append(g.entries, ',')
}

// reaches reports whether an entity's id leads to this group.
func (g *grouping) reaches(entityID string) bool {
	from, to, ok := groupsOf(entityID)
	return ok && g.base >= from && g.base < to
}

// groupsOf returns the range of the groups, from and before an id, that can hold entries of
// an entity; false if none can.
func groupsOf(entityID string) (from, to string, ok bool) {
	if !id.Valid(entityID) || entityID != strings.ToLower(entityID) || entityID[14] != '7' {
		return "", "", false
	}
	made := id.Time(entityID)
	return id.Floor(made.Add(-groupedBefore)), id.Floor(made.Add(groupedAfter)), true
}

// markOf returns what a group has in entities of an entity: the last four bytes of its id,
// which are random.
func markOf(entityID string) []byte {
	mark, _ := hex.DecodeString(entityID[len(entityID)-8:]) // of a valid id
	return mark
}

// readableInSQL reports whether the JSON functions of both engines can read details: not if
// they have an escape for NUL or for half a character.
func readableInSQL(details string) bool {
	for rest := details; ; {
		_, after, found := strings.Cut(rest, `\u`)
		if !found {
			return true
		}
		if strings.HasPrefix(after, "0000") || strings.HasPrefix(after, "d") || strings.HasPrefix(after, "D") {
			return false
		}
		rest = after
	}
}

// row adds the group to the rows of an insert, unless it is empty.
func (g *grouping) row(rows *database.Rows, at time.Time) {
	if len(g.entries) > 0 {
		rows.Add(g.base, g.counts[0], g.counts[1], g.counts[2], g.counts[3], g.entities, at, string(append(g.entries, ']')))
	}
}
