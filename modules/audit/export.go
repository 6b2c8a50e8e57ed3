package audit

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"integration-gateway/platform/database"
)

// exported is an entry in an export. Seal is null until the entry is sealed.
type exported struct {
	Seal *int64 `json:"seal"`
	view
}

const selectSealsOverSQL = `
SELECT ` + sealColumns + ` FROM audit_seals WHERE NOT late AND last_id > $1 AND last_id <= $2 ORDER BY last_id`

const selectNextSealedSQL = `
SELECT last_id FROM audit_seals WHERE NOT late AND last_id >= $1 ORDER BY last_id LIMIT 1`

const (
	unitsPerExport   = 1_000 // read at once; more than one base can have
	entriesPerExport = 5_000 // in memory at once, and those of a further base
)

// Export writes every entry as one line of JSON, in id order, with the number of its seal.
// It returns the number of entries.
func (m *Module) Export(ctx context.Context, out io.Writer) (int, error) {
	lines := json.NewEncoder(out)
	after, count := minID, 0
	for {
		units, err := unitsAfter(ctx, m.db, after, maxID, unitsPerExport)
		if err != nil || len(units) == 0 {
			return count, err
		}
		units = portion(units, len(units) == unitsPerExport)
		seals, err := sealsOf(ctx, m.db, units)
		if err != nil {
			return count, err
		}
		exports, err := m.exportsOf(ctx, units, seals)
		if err != nil {
			return count, err
		}
		for _, line := range exports {
			if err := lines.Encode(line); err != nil {
				return count, fmt.Errorf("write the export: %w", err)
			}
			count++
		}
		after = units[len(units)-1].ID
	}
}

// portion returns the first units with enough entries. It does not separate units with the
// same base, whose entries may lie among each other. more says that others follow.
func portion(units []unit, more bool) []unit {
	entries, end := 0, 0
	for i, u := range units {
		if i > 0 && baseOf(u.ID) != baseOf(units[i-1].ID) {
			if end = i; entries >= entriesPerExport {
				return units[:end]
			}
		}
		entries += u.count()
	}
	if !more {
		return units
	}
	return units[:end]
}

// exportsOf returns the entries of units in id order.
func (m *Module) exportsOf(ctx context.Context, units []unit, seals map[string]int64) ([]exported, error) {
	var lines []exported
	add := func(e entry, unitID string) {
		line := exported{view: viewOf(e)}
		if seq, sealed := seals[unitID]; sealed {
			line.Seal = &seq
		}
		lines = append(lines, line)
	}
	for _, u := range units {
		if u.InGroup == 0 {
			add(u.entry, u.ID)
		}
	}
	err := eachGroup(ctx, m.db, groupIDs(units), func(g group) error {
		for _, e := range g.readable(m.log) {
			add(e, g.ID)
		}
		return nil
	})
	slices.SortFunc(lines, func(a, b exported) int { return strings.Compare(a.ID, b.ID) })
	return lines, err
}

// sealsOf returns the numbers of the units' seals, by unit id. It reads the seals of their ranges
// alone, however many there are.
func sealsOf(ctx context.Context, db *database.DB, units []unit) (map[string]int64, error) {
	after, err := lastSealedID(ctx, db, units[0].ID)
	if err != nil {
		return nil, err
	}
	upTo, seals := maxID, []seal(nil)
	if err := db.Get(ctx, &upTo, selectNextSealedSQL, units[len(units)-1].ID); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read seals: %w", err)
	}
	if err := db.Select(ctx, &seals, selectSealsOverSQL, after, upTo); err != nil {
		return nil, fmt.Errorf("read seals: %w", err)
	}
	ids, err := lateIDs(ctx, db, after, upTo)
	if err != nil {
		return nil, err
	}
	for _, s := range seals {
		for _, l := range unpackLeaves(s.Leaves) {
			ids[l.id] = s.Seq
		}
	}
	return ids, nil
}
