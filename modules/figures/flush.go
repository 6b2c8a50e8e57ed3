package figures

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"integration-gateway/platform/database"
)

// flushRows is how many rows one statement stores.
const flushRows = 500

// saveMinutesSQL replaces a row by what its process has counted by now. The hour of a row
// that changes is merged again.
const saveMinutesSQL = `
INSERT INTO figures_minutes (at, source, destination_id, process_id, merged, counts)
SELECT at, source, destination_id, process_id, false, counts FROM v WHERE source IS NOT NULL
ON CONFLICT (at, source, destination_id, process_id) DO UPDATE SET merged = false, counts = excluded.counts`

// flush stores what has changed.
func (m *Module) flush(ctx context.Context) error {
	all := m.recorder.changed()
	// In one order, so that statements do not wait for each other in a circle.
	slices.SortFunc(all, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.minute, b.minute), cmp.Compare(a.source, b.source), cmp.Compare(a.destination, b.destination))
	})
	for list := range slices.Chunk(all, flushRows) {
		rows := database.NewRows("at timestamptz", "source text", "destination_id uuid", "process_id uuid", "counts bytea")
		for _, c := range list {
			rows.Add(time.Unix(c.minute*60, 0).UTC(), c.source, c.destination, c.process, c.encoded)
		}
		err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
			_, err := tx.ExecRows(ctx, rows, saveMinutesSQL)
			return err
		})
		if err != nil {
			return fmt.Errorf("store %d figures: %w", len(list), err)
		}
		m.recorder.stored(list, m.d.Now())
	}
	if len(all) == 0 {
		m.recorder.stored(nil, m.d.Now())
	}
	return nil
}
