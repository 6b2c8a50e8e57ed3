package audit

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"integration-gateway/platform/database"
)

// unitsPerRead limits the units that are read at once after the first ones.
const unitsPerRead = 2_000

// walk goes through the entries that match a filter, newest first. It reads units in
// portions, and the entries of groups when their turn comes.
type walk struct {
	db      *database.DB
	log     *slog.Logger
	want    filter
	columns []string
	cursor  string // where it begins: at entries before this id; "" for the newest
	due     int    // how many entries the caller needs

	units  []unit // read and not yet passed
	before string // where the next units begin
	ended  bool   // there are no further units
	texts  map[string][]entry
	ready  []entry
}

// next returns the next entry; false at the end.
func (w *walk) next(ctx context.Context) (entry, bool, error) {
	for len(w.ready) == 0 {
		run, err := w.run(ctx)
		if err != nil || len(run) == 0 {
			return entry{}, false, err
		}
		if err := w.expand(ctx, run); err != nil {
			return entry{}, false, err
		}
		w.units = w.units[len(run):]
	}
	e := w.ready[0]
	w.ready, w.due = w.ready[1:], w.due-1
	return e, true, nil
}

// skip passes n entries. It does not read the entries of groups that it passes whole.
func (w *walk) skip(ctx context.Context, n int) error {
	for n > 0 {
		if len(w.ready) == 0 && w.want.entityID == "" { // of one entity a group may have fewer than it counts
			run, err := w.run(ctx)
			if err != nil || len(run) == 0 {
				return err
			}
			count := 0
			for _, u := range run {
				count += u.count()
			}
			if count <= n {
				w.units, n = w.units[len(run):], n-count
				continue
			}
		}
		w.due++
		if _, ok, err := w.next(ctx); err != nil || !ok {
			return err
		}
		n--
	}
	return nil
}

// run returns the first units that have one base: rows, then the group whose entries lie
// among them; none at the end.
func (w *walk) run(ctx context.Context) ([]unit, error) {
	for !w.ended && (len(w.units) == 0 || baseOf(w.units[0].ID) == baseOf(w.units[len(w.units)-1].ID)) {
		if err := w.read(ctx); err != nil {
			return nil, err
		}
	}
	n := 0
	for n < len(w.units) && baseOf(w.units[n].ID) == baseOf(w.units[0].ID) {
		n++
	}
	return w.units[:n], nil
}

// read reads further units: at first as many as the caller needs, one that may end at the
// cursor and one that shows that a run is complete.
func (w *walk) read(ctx context.Context) error {
	limit := w.due + 2
	if w.before != w.cursor {
		limit = unitsPerRead
	}
	query, args := w.want.unitsStatement(w.db.Dialect, w.columns, w.before, limit)
	var units []unit
	if err := w.db.Select(ctx, &units, query, args...); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	w.ended = len(units) < limit
	if len(units) > 0 {
		w.units, w.before = append(w.units, units...), units[len(units)-1].ID
	}
	return nil
}

// expand makes the entries of a run ready.
func (w *walk) expand(ctx context.Context, run []unit) error {
	for _, u := range run {
		if u.InGroup == 0 {
			w.ready = append(w.ready, u.entry)
			continue
		}
		entries, err := w.entriesOf(ctx, u.ID)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if (w.want.matches(e) || e.Action == unreadable) && (w.cursor == "" || e.ID < w.cursor) {
				w.ready = append(w.ready, e)
			}
		}
	}
	slices.SortFunc(w.ready, func(a, b entry) int { return strings.Compare(b.ID, a.ID) })
	return nil
}

// entriesOf returns the entries of a group that was read as a unit. It reads them together
// with those of the next groups that the caller will need.
func (w *walk) entriesOf(ctx context.Context, groupID string) ([]entry, error) {
	if entries, known := w.texts[groupID]; known {
		return entries, nil
	}
	ids := []string{groupID}
	for count, i := 0, slices.IndexFunc(w.units, func(u unit) bool { return u.ID == groupID }); count < w.due && i < len(w.units) && len(ids) < groupsPerRead; i++ {
		if u := w.units[i]; u.InGroup > 0 && u.ID != groupID {
			ids = append(ids, u.ID)
		}
		count += w.units[i].count()
	}
	w.texts = make(map[string][]entry, len(ids))
	for _, groupID := range ids {
		w.texts[groupID] = nil // removed since, unless it is found
	}
	err := eachGroup(ctx, w.db, ids, func(g group) error {
		w.texts[g.ID] = g.readable(w.log)
		return nil
	})
	return w.texts[groupID], err
}
