package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"integration-gateway/platform/database"
)

// exported is an entry in an export. Seal is null where it is not sealed yet.
type exported struct {
	Seal *int64 `json:"seal"`
	view
}

const selectSealsOverSQL = `
SELECT ` + sealColumns + ` FROM audit_seals WHERE NOT late AND last_id >= $1 AND first_id <= $2 ORDER BY seq`

// Export writes every entry as one line of JSON, in the order of their ids, with the
// number of the seal that holds it. It answers how many there were.
func (m *Module) Export(ctx context.Context, out io.Writer) (int, error) {
	lines := json.NewEncoder(out)
	after, count := beforeAll, 0
	for {
		entries, err := entriesAfter(ctx, m.db, after, afterAll, entriesPerSeal)
		if err != nil || len(entries) == 0 {
			return count, err
		}
		seals, err := sealsOf(ctx, m.db, entries)
		if err != nil {
			return count, err
		}
		for _, e := range entries {
			line := exported{view: viewOf(e)}
			if seq, sealed := seals[e.ID]; sealed {
				line.Seal = &seq
			}
			if err := lines.Encode(line); err != nil {
				return count, fmt.Errorf("write the export: %w", err)
			}
			count++
		}
		after = entries[len(entries)-1].ID
	}
}

// sealsOf gives the numbers of the seals that hold entries, by the entries' ids.
func sealsOf(ctx context.Context, db *database.DB, entries []entry) (map[string]int64, error) {
	first, last := entries[0].ID, entries[len(entries)-1].ID
	var seals []seal
	if err := db.Select(ctx, &seals, selectSealsOverSQL, first, last); err != nil {
		return nil, fmt.Errorf("read seals: %w", err)
	}
	ids, err := lateIDs(ctx, db, beforeAll, last)
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
