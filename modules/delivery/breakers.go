package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"database/sql"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// breakerState is the state of a destination's circuit breaker, as it is stored and
// shown. A destination without a row is closed.
type breakerState string

const (
	breakerClosed   breakerState = "closed"    // deliveries flow
	breakerOpen     breakerState = "open"      // its jobs are parked until the next probe
	breakerHalfOpen breakerState = "half_open" // one probe is under way
)

// breakers watches destinations. What it sees is this process's own; what it decides
// stands in the database and holds for all.
type breakers struct {
	policy breakerPolicy
	mu     sync.Mutex
	seen   map[string]*window
}

// observe counts an attempt and reports whether the destination is to be taken for down.
func (b *breakers) observe(destinationID string, r response, now time.Time) (trips bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.seen[destinationID]
	if w == nil {
		w = &window{}
		b.seen[destinationID] = w
	}
	w.add(r.down(), now)
	return w.trips(b.policy, now)
}

func (b *breakers) forget(destinationID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.seen, destinationID)
}

// watch draws the consequences of an attempt for its destination's breaker. A failure
// to store them is logged; the next attempt draws them again.
func (m *Module) watch(d destination, r response) {
	if r.unsent && d.Breaker != breakerHalfOpen {
		return
	}
	trips := m.breakers.observe(d.ID, r, m.now())
	ctx, cancel := context.WithTimeout(context.Background(), claimTimeout)
	defer cancel()
	var err error
	switch {
	case d.Breaker == breakerClosed && trips:
		err = m.openBreaker(ctx, d)
	case d.Breaker != breakerClosed && !r.down():
		err = m.closeBreaker(ctx, d)
	case d.Breaker == breakerHalfOpen:
		err = m.reopenBreaker(ctx, d)
	}
	if err != nil {
		m.log.WarnContext(ctx, "moving a circuit breaker failed", "destination_id", d.ID, "error", err)
	}
}

const insertBreakerSQL = `
INSERT INTO destination_breakers (destination_id, state, until, trips, opened_at)
VALUES ($1, 'open', $2, 0, $3)
ON CONFLICT (destination_id) DO NOTHING`

func (m *Module) openBreaker(ctx context.Context, d destination) error {
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		until := tx.Now.Add(m.breakers.policy.wait(0))
		n, err := tx.Exec(ctx, insertBreakerSQL, d.ID, until, tx.Now)
		if err != nil || n == 0 {
			return err
		}
		return m.announceBreaker(ctx, tx, d, "destination.breaker_opened", map[string]any{"nextProbeAt": clock.At(until)})
	})
}

const deleteBreakerSQL = `
DELETE FROM destination_breakers WHERE destination_id = $1`

func (m *Module) closeBreaker(ctx context.Context, d destination) error {
	m.breakers.forget(d.ID)
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		n, err := tx.Exec(ctx, deleteBreakerSQL, d.ID)
		if err != nil || n == 0 {
			return err
		}
		return m.announceBreaker(ctx, tx, d, "destination.breaker_closed", map[string]any{})
	})
}

func (m *Module) announceBreaker(ctx context.Context, tx *database.Tx, d destination, action string, details map[string]any) error {
	tx.AfterCommit(func() {
		m.directory.forget()
		m.log.WarnContext(ctx, action, "destination_id", d.ID, "integration_id", d.IntegrationID)
	})
	details["integrationId"] = d.IntegrationID
	entry := eventEntry(d.ID, action, details)
	entry.EntityType = contract.EntityDestination
	return m.auditor.Record(ctx, tx, []contract.AuditEntry{entry})
}

const selectTripsSQL = `
SELECT trips FROM destination_breakers WHERE destination_id = $1 AND state = 'half_open'`

const reopenBreakerSQL = `
UPDATE destination_breakers SET state = 'open', until = $2, trips = trips + 1
WHERE  destination_id = $1 AND state = 'half_open'`

// reopenBreaker is the end of a probe that failed.
func (m *Module) reopenBreaker(ctx context.Context, d destination) error {
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		var trips int
		err := tx.Get(ctx, &trips, selectTripsSQL, d.ID)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // another probe's end came first
		}
		if err != nil {
			return err
		}
		tx.AfterCommit(m.directory.forget)
		_, err = tx.Exec(ctx, reopenBreakerSQL, d.ID, tx.Now.Add(m.breakers.policy.wait(trips+1)))
		return err
	})
}

const probeSQL = `
UPDATE destination_breakers SET state = 'half_open', until = $2
WHERE  destination_id = $1 AND until <= $3`

// probe lets one parked job through to a destination that is taken for down, when its
// time has come. The breaker's until is then when the probe counts as lost.
func (m *Module) probe(ctx context.Context, d destination) error {
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		n, err := tx.Exec(ctx, probeSQL, d.ID, tx.Now.Add(m.timeout(d)+m.cfg.LeaseMargin), tx.Now)
		if err != nil || n == 0 {
			return err
		}
		tx.AfterCommit(m.directory.forget)
		if _, err := tx.Exec(ctx, fmt.Sprintf(unparkSQL, tx.Dialect.SkipLocked), tx.Now, d.ID, 1); err != nil {
			return fmt.Errorf("let a probe through: %w", err)
		}
		return nil
	})
}
