package database

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// CountedAtMost is how many rows of a list are counted for each page of it. What is beyond
// is estimated: counting it would read all that the filter means again and again.
const CountedAtMost = 10_000

// count gives the number of rows that f means, or an estimate of it that is more than
// CountedAtMost.
func (l Listing[T]) count(ctx context.Context, db *DB, f *Filter) (total int, estimated bool, err error) {
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

// estimatePostgres is what the planner expects.
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

// estimateSQLite is exact where rows lie without gaps, as they do in a table of events
// until some are removed from its middle. What a filter means is not estimated.
func estimateSQLite(ctx context.Context, db *DB, from string, f *Filter) (n int, err error) {
	if len(f.conditions) > 0 {
		return 0, nil
	}
	table, _, _ := strings.Cut(from, " ")
	return n, db.Get(ctx, &n, "SELECT max(rowid) - min(rowid) + 1 FROM "+table)
}
