package figures

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
)

// mergeAfter is how long after its end an hour is first merged, so that it is rarely merged
// twice.
const mergeAfter = 2 * time.Minute

// lockMergeSQL makes others that merge wait for the transaction's end. merged_until is the
// time before which every hour has been merged.
const lockMergeSQL = `
INSERT INTO figures_merge (id, merged_until) VALUES (1, $1)
ON CONFLICT (id) DO UPDATE SET merged_until = figures_merge.merged_until`

const selectUnmergedSQL = `
SELECT at FROM figures_minutes WHERE NOT merged AND at < $1 ORDER BY at LIMIT 1`

const setMergedUntilSQL = `
UPDATE figures_merge SET merged_until = $1 WHERE id = 1 AND merged_until < $1`

// Marking comes before reading: a row that is stored between the two stays unmarked, so that
// its hour is merged again.
const markMergedSQL = `
UPDATE figures_minutes SET merged = true WHERE at >= $1 AND at < $2 AND NOT merged`

const selectHourSQL = `
SELECT source, destination_id, counts FROM figures_minutes WHERE at >= $1 AND at < $2`

const saveHoursSQL = `
INSERT INTO figures_hours (at, source, destination_id, counts)
SELECT at, source, destination_id, counts FROM v WHERE source IS NOT NULL
ON CONFLICT (at, source, destination_id) DO UPDATE SET counts = excluded.counts`

// merge brings the hours up to date and removes what is too old. An hour is the sum of its
// minutes and is made anew as a whole, so that a process that dies leaves nothing half done.
func (m *Module) merge(ctx context.Context) error {
	for more := true; more; {
		var err error
		if more, err = m.mergeHour(ctx, m.d.Now().Add(-mergeAfter).Truncate(time.Hour)); err != nil {
			return fmt.Errorf("merge the figures: %w", err)
		}
	}
	now := m.d.Now()
	if err := m.prune(ctx, "figures_minutes", now.Add(-m.cfg.Minutes)); err != nil {
		return err
	}
	return m.prune(ctx, "figures_hours", now.Add(-m.cfg.Hours))
}

// mergeHour merges the oldest hour before a time that has unmerged minutes. It returns false
// if there is none.
func (m *Module) mergeHour(ctx context.Context, until time.Time) (more bool, err error) {
	err = m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		more = false
		if _, err := tx.Exec(ctx, lockMergeSQL, time.Unix(0, 0).UTC()); err != nil {
			return err
		}
		var unmerged []clock.Time
		if err := tx.Select(ctx, &unmerged, selectUnmergedSQL, until); err != nil {
			return err
		}
		if len(unmerged) == 0 {
			_, err := tx.Exec(ctx, setMergedUntilSQL, until)
			return err
		}
		more = true
		return m.mergeFrom(ctx, tx, unmerged[0].Truncate(time.Hour))
	})
	return more, err
}

func (m *Module) mergeFrom(ctx context.Context, tx *database.Tx, hour time.Time) error {
	if _, err := tx.Exec(ctx, markMergedSQL, hour, hour.Add(time.Hour)); err != nil {
		return err
	}
	var rows []row
	if err := tx.Select(ctx, &rows, selectHourSQL, hour, hour.Add(time.Hour)); err != nil {
		return err
	}
	sums := sums{}
	if err := sums.add(rows); err != nil {
		return err
	}
	merged := database.NewRows("at timestamptz", "source text", "destination_id uuid", "counts bytea")
	for of, s := range sums {
		merged.Add(hour, of.source, of.destination, s.encode())
	}
	_, err := tx.ExecRows(ctx, merged, saveHoursSQL)
	return err
}

// prune removes rows before a time, an hour's at once.
func (m *Module) prune(ctx context.Context, table string, before time.Time) error {
	for {
		var oldest clock.Time
		err := m.d.DB.Get(ctx, &oldest, "SELECT at FROM "+table+" WHERE at < $1 ORDER BY at LIMIT 1", before)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil {
			upTo := oldest.Truncate(time.Hour).Add(time.Hour)
			if upTo.After(before) {
				upTo = before
			}
			err = m.d.DB.InTx(ctx, func(tx *database.Tx) error {
				_, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE at < $1", upTo)
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("remove old rows of %s: %w", table, err)
		}
	}
}
