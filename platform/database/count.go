package database

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// CountedAtMost is the largest exact total of a list. Larger totals are estimated: counting
// them for each page would read all matching rows again and again.
const CountedAtMost = 10_000

// Count returns the number of rows that match f, or an estimate above CountedAtMost.
func (l Listing[T]) Count(ctx context.Context, db *DB, f *Filter) (total int, estimated bool, err error) {
	from := l.From
	if l.CountFrom != "" {
		from = l.CountFrom
	}
	if l.CountAll {
		return total, false, db.Get(ctx, &total, "SELECT count(*) FROM "+from+f.where(), f.args...)
	}
	query := fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s%s LIMIT %d) AS counted", from, f.where(), CountedAtMost+1)
	if err := db.Get(ctx, &total, query, f.args...); err != nil || total <= CountedAtMost {
		return total, false, err
	}
	estimate, err := db.Dialect.estimate(ctx, db, from, f)
	return max(total, estimate), true, err
}

// EstimateRows estimates how many rows of a table match f.
func (db *DB) EstimateRows(ctx context.Context, table string, f *Filter) (int, error) {
	return db.Dialect.estimate(ctx, db, table, f)
}

// estimatePostgres returns the planner's estimate.
// https://www.postgresql.org/docs/current/using-explain.html
func estimatePostgres(ctx context.Context, db *DB, from string, f *Filter) (int, error) {
	var text []byte
	if err := db.Get(ctx, &text, "EXPLAIN (FORMAT JSON) SELECT 1 FROM "+from+f.where(), f.args...); err != nil {
		return 0, err
	}
	var plans []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		}
	}
	if err := json.Unmarshal(text, &plans); err != nil || len(plans) != 1 {
		return 0, fmt.Errorf("read the plan: %w", err)
	}
	return int(plans[0].Plan.Rows), nil
}

// estimateSQLite is exact if the rowids have no gaps, as in a table of events until some
// are deleted from the middle. It does not estimate filters.
func estimateSQLite(ctx context.Context, db *DB, from string, f *Filter) (n int, err error) {
	if len(f.conditions) > 0 {
		return 0, nil
	}
	table, _, _ := strings.Cut(from, " ")
	return n, db.Get(ctx, &n, "SELECT max(rowid) - min(rowid) + 1 FROM "+table)
}
