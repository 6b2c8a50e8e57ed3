package verify

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
)

// The lowest and the highest UUID.
const (
	minID = "00000000-0000-0000-0000-000000000000"
	maxID = "ffffffff-ffff-ffff-ffff-ffffffffffff"
)

// idRange is a range of ids that excludes its lower end.
type idRange struct{ after, upTo string }

// Run checks the records. An error means that they could not be read completely.
func (m *Module) Run(ctx context.Context) (Report, error) {
	c := newChecker(m)
	for _, part := range []struct {
		name string
		read func(ctx context.Context) error
	}{
		{"events", func(ctx context.Context) error {
			return m.eachRange(ctx, nextEventSQL, func(rng idRange) error { return c.readEvents(ctx, rng) })
		}},
		{"replay requests", func(ctx context.Context) error {
			return m.eachRange(ctx, nextReplaySQL, func(rng idRange) error { return c.readReplays(ctx, rng) })
		}},
		{"idempotency keys", c.readKeys},
		{"dead letters", func(ctx context.Context) error {
			return m.eachRange(ctx, nextDeadLetterSQL, func(rng idRange) error { return c.readDeadLetters(ctx, rng) })
		}},
		{"rewinds", c.readRewinds},
		{"examples", c.readExamples},
	} {
		if err := part.read(ctx); err != nil {
			return Report{}, fmt.Errorf("read the %s: %w", part.name, err)
		}
	}
	c.readQueues(ctx)
	return c.report(), nil
}

// cutoff is the time since which changes are ignored.
func (m *Module) cutoff() time.Time { return m.d.Now().Add(-m.cfg.Grace) }

const (
	nextEventSQL      = `SELECT id FROM normalized_events WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2`
	nextReplaySQL     = `SELECT id FROM replay_requests WHERE id > $1 AND status IN ('queued', 'dispatched') ORDER BY id LIMIT 1 OFFSET $2`
	nextDeadLetterSQL = `SELECT id FROM dead_letters WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2`
)

// eachRange divides all ids into ranges of one batch of rows each; next returns the id a
// given number of rows after another.
func (m *Module) eachRange(ctx context.Context, next string, read func(rng idRange) error) error {
	rng := idRange{after: minID}
	for {
		began := clock.Monotonic()
		err := m.d.DB.Get(ctx, &rng.upTo, next, rng.after, m.cfg.Batch-1)
		if errors.Is(err, sql.ErrNoRows) {
			rng.upTo, err = maxID, nil
		}
		if err != nil {
			return err
		}
		if err := read(rng); err != nil {
			return err
		}
		if err := m.after(ctx, clock.Monotonic()-began); err != nil {
			return err
		}
		if rng.upTo == maxID {
			return nil
		}
		rng.after = rng.upTo
	}
}

// readQueues reads the queues' depths. The check does not depend on the broker.
func (c *checker) readQueues(ctx context.Context) {
	if c.m.d.Queues == nil {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, c.m.cfg.DepthTimeout)
	defer cancel()
	for _, q := range []broker.Queue{broker.Process, broker.Replay, broker.Dead} {
		c.queues[string(q)] = nil
		if depth, err := c.m.d.Queues.Depth(bounded, q); err == nil {
			c.queues[string(q)] = &depth
		}
	}
}
