package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"database/sql"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// breakers watches destinations. Each process counts its own attempts; decisions are stored
// in the database and apply to all processes.
type breakers struct {
	policy breakerPolicy
	mu     sync.Mutex
	seen   map[string]*window
}

// observe counts an attempt that ended at at, and reports whether the breaker should open.
func (b *breakers) observe(destinationID string, r response, at, now time.Time) (trips bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.seen[destinationID]
	if w == nil {
		w = &window{}
		b.seen[destinationID] = w
	}
	w.add(r.down(), at)
	return w.trips(b.policy, now)
}

func (b *breakers) forget(destinationID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.seen, destinationID)
}

// watch updates the destination's breaker after an attempt that was answered at at; storing it
// may have taken long. It logs a failure, and the next attempt retries.
func (m *Module) watch(d *destination.Destination, r response, at time.Time) {
	if r.unsent && d.Breaker != destination.BreakerHalfOpen {
		return
	}
	trips := m.breakers.observe(d.ID, r, at, m.now())
	ctx, cancel := context.WithTimeout(context.Background(), claimTimeout)
	defer cancel()
	var err error
	switch {
	case d.Breaker == destination.BreakerClosed && trips:
		err = m.openBreaker(ctx, d)
	case d.Breaker != destination.BreakerClosed && !r.down():
		err = m.closeBreaker(ctx, d)
	case d.Breaker == destination.BreakerHalfOpen:
		err = m.reopenBreaker(ctx, d)
	}
	if err != nil {
		m.log.WarnContext(ctx, "updating a circuit breaker failed", "destination_id", d.ID, "error", err)
	}
}

const insertBreakerSQL = `
INSERT INTO destination_breakers (destination_id, state, until, trips, opened_at)
VALUES ($1, 'open', $2, 0, $3)
ON CONFLICT (destination_id) DO NOTHING`

func (m *Module) openBreaker(ctx context.Context, d *destination.Destination) error {
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

func (m *Module) closeBreaker(ctx context.Context, d *destination.Destination) error {
	m.breakers.forget(d.ID)
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		n, err := tx.Exec(ctx, deleteBreakerSQL, d.ID)
		if err != nil || n == 0 {
			return err
		}
		return m.announceBreaker(ctx, tx, d, "destination.breaker_closed", map[string]any{})
	})
}

func (m *Module) announceBreaker(ctx context.Context, tx *database.Tx, d *destination.Destination, action string, details map[string]any) error {
	tx.AfterCommit(func() {
		m.destinations.Changed(d.IntegrationID)
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

// reopenBreaker opens the breaker again after a failed probe.
func (m *Module) reopenBreaker(ctx context.Context, d *destination.Destination) error {
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		var trips int
		err := tx.Get(ctx, &trips, selectTripsSQL, d.ID)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // another probe ended first
		}
		if err != nil {
			return err
		}
		tx.AfterCommit(func() { m.destinations.Changed(d.IntegrationID) })
		_, err = tx.Exec(ctx, reopenBreakerSQL, d.ID, tx.Now.Add(m.breakers.policy.wait(trips+1)))
		return err
	})
}

const probeSQL = `
UPDATE destination_breakers SET state = 'half_open', until = $2
WHERE  destination_id = $1 AND until <= $3 AND EXISTS (SELECT 1 FROM destinations d WHERE d.id = $1 AND ` + openSQL + `)`

// probe sends one parked job to a destination with an open breaker when the probe is due. The
// breaker's until is then the time at which the probe counts as lost.
func (m *Module) probe(ctx context.Context, d *destination.Destination) error {
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		n, err := tx.Exec(ctx, probeSQL, d.ID, tx.Now.Add(d.Timeout(m.cfg.Timeout)+m.cfg.LeaseMargin), tx.Now)
		if err != nil || n == 0 {
			return err
		}
		tx.AfterCommit(func() { m.destinations.Changed(d.IntegrationID) })
		if _, err := tx.Exec(ctx, fmt.Sprintf(unparkSQL, "", tx.Dialect.SkipLocked), tx.Now, d.ID, 1); err != nil {
			return fmt.Errorf("send a probe: %w", err)
		}
		return nil
	})
}
