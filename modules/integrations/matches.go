package integrations

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"integration-gateway/platform/database"
)

// match counts the webhooks that a secret verified since the last flush.
type match struct {
	count int
	last  time.Time
}

// matches counts in memory which secrets verify webhooks, so that no webhook waits for the
// database. It has at most one entry for each secret.
type matches struct {
	mu sync.Mutex
	of map[string]match // by the secret's id
}

func newMatches() *matches { return &matches{of: map[string]match{}} }

// Matched counts a webhook that a secret verified. It does not block.
func (m *Module) Matched(secretID string, at time.Time) { m.matches.add(secretID, at) }

func (m *matches) add(secretID string, at time.Time) {
	if secretID == "" {
		return // not verified with a stored secret
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.merge(secretID, match{1, at})
}

func (m *matches) merge(secretID string, more match) {
	known := m.of[secretID]
	known.count += more.count
	if more.last.After(known.last) {
		known.last = more.last
	}
	m.of[secretID] = known
}

// take returns the counts and resets them.
func (m *matches) take() map[string]match {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.of
	m.of = map[string]match{}
	return taken
}

// putBack adds counts that could not be written.
func (m *matches) putBack(taken map[string]match) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for secretID, more := range taken {
		m.merge(secretID, more)
	}
}

//nolint:gosec // a query, not a secret
const addMatchesSQL = `
UPDATE integration_secrets
SET    match_count = match_count + v.n,
       last_matched_at = CASE WHEN last_matched_at > v.at THEN last_matched_at ELSE v.at END
FROM   v
WHERE  integration_secrets.id = v.id`

// flushTimeout bounds one flush.
const flushTimeout = 5 * time.Second

// flushMatches writes the counts in one statement. A write whose answer is lost is repeated,
// so a count may be too high, but never too low.
func (m *Module) flushMatches(ctx context.Context) error {
	taken := m.matches.take()
	if len(taken) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	rows := database.NewRows("id uuid", "n bigint", "at timestamptz")
	for _, secretID := range slices.Sorted(maps.Keys(taken)) { // processes that lock in different orders would deadlock
		rows.Add(secretID, taken[secretID].count, taken[secretID].last)
	}
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecRows(ctx, rows, addMatchesSQL)
		return err
	})
	if err != nil {
		m.matches.putBack(taken)
		return fmt.Errorf("write the matches of %d secrets: %w", len(taken), err)
	}
	return nil
}
