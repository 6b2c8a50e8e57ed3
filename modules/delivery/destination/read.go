package destination

import (
	"context"
	"fmt"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
)

const columns = `d.id, d.integration_id, d.url, d.is_active, d.mode, COALESCE(d.filter, '') AS filter,
       COALESCE(d.transform, '') AS transform, d.headers, d.auth, d.tls, d.signing_secret, d.old_secret, d.old_secret_until,
       d.timeout_ms, d.max_attempts, d.retry_base_ms, d.retry_cap_ms, d.concurrency, d.rate_per_second, d.trace_propagation, d.archived_at,
       d.open_jobs, d.created_at, d.updated_at, d.revision, d.paused_at, d.paused_by, d.pause_reason, d.paused_until`

// reader holds the queries of the cache.
type reader interface {
	// summary returns the number of destinations and the sum of their revisions.
	summary(ctx context.Context) (count int, sum int64, err error)
	revisions(ctx context.Context) ([]revision, error)
	breakers(ctx context.Context) (map[string]breaker, error)
	byID(ctx context.Context, ids []string) ([]Destination, error)
	// related returns all destinations of these integrations, and of the integrations of these
	// destinations.
	related(ctx context.Context, ids []string) ([]Destination, error)
}

type revision struct {
	ID       string `db:"id"`
	Revision int64  `db:"revision"`
}

// breaker is a row of destination_breakers.
type breaker struct {
	ID    string       `db:"destination_id"`
	State BreakerState `db:"state"`
	Until *clock.Time  `db:"until"`
}

// rows uses the connection pool of transactions, since lists may exhaust theirs.
type rows struct{ db *database.DB }

const selectSummarySQL = `
SELECT count(*) AS count, CAST(COALESCE(sum(revision), 0) AS bigint) AS sum
FROM   destinations`

func (r rows) summary(ctx context.Context) (int, int64, error) {
	var is []struct {
		Count int   `db:"count"`
		Sum   int64 `db:"sum"`
	}
	if err := r.db.SelectApart(ctx, &is, selectSummarySQL); err != nil {
		return 0, 0, fmt.Errorf("sum destinations up: %w", err)
	}
	return is[0].Count, is[0].Sum, nil
}

const selectRevisionsSQL = `
SELECT id, revision FROM destinations`

func (r rows) revisions(ctx context.Context) (list []revision, err error) {
	if err = r.db.SelectApart(ctx, &list, selectRevisionsSQL); err != nil {
		return nil, fmt.Errorf("read the revisions of destinations: %w", err)
	}
	return list, nil
}

const selectBreakersSQL = `
SELECT destination_id, state, until FROM destination_breakers`

func (r rows) breakers(ctx context.Context) (map[string]breaker, error) {
	var list []breaker
	if err := r.db.SelectApart(ctx, &list, selectBreakersSQL); err != nil {
		return nil, fmt.Errorf("read breakers: %w", err)
	}
	byID := make(map[string]breaker, len(list))
	for _, b := range list {
		byID[b.ID] = b
	}
	return byID, nil
}

const selectByIDSQL = `
SELECT ` + columns + `, COALESCE(b.state, 'closed') AS breaker, b.until AS breaker_until
FROM   v
JOIN   destinations d ON d.id = v.id
LEFT   JOIN destination_breakers b ON b.destination_id = d.id`

func (r rows) byID(ctx context.Context, ids []string) (list []Destination, err error) {
	if err = r.db.SelectRows(ctx, &list, database.IDs(ids), selectByIDSQL); err != nil {
		return nil, fmt.Errorf("read destinations: %w", err)
	}
	return list, nil
}

const selectRelatedSQL = `
SELECT ` + columns + `, COALESCE(b.state, 'closed') AS breaker, b.until AS breaker_until
FROM   destinations d
LEFT   JOIN destination_breakers b ON b.destination_id = d.id
WHERE  d.integration_id IN (SELECT v.id FROM v UNION SELECT o.integration_id FROM v JOIN destinations o ON o.id = v.id)
ORDER  BY d.id`

func (r rows) related(ctx context.Context, ids []string) (list []Destination, err error) {
	if err = r.db.SelectRows(ctx, &list, database.IDs(ids), selectRelatedSQL); err != nil {
		return nil, fmt.Errorf("read destinations: %w", err)
	}
	return list, nil
}

func relatedIn(ctx context.Context, tx *database.Tx, ids []string) (list []Destination, err error) {
	if err = tx.SelectRows(ctx, &list, database.IDs(ids), selectRelatedSQL); err != nil {
		return nil, fmt.Errorf("read destinations: %w", err)
	}
	return list, nil
}
