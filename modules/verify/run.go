package verify

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"integration-gateway/platform/broker"
)

// The ends of the range of all UUIDs.
const (
	firstID = "00000000-0000-0000-0000-000000000000"
	lastID  = "ffffffff-ffff-ffff-ffff-ffffffffffff"
)

// span is a range of ids, without its lower end.
type span struct{ after, upTo string }

// Run reads the books. Its error means that they could not be read to their end.
func (m *Module) Run(ctx context.Context) (Report, error) {
	t := newTally(m)
	for _, part := range []struct {
		name string
		read func(ctx context.Context) error
	}{
		{"events", func(ctx context.Context) error {
			return m.eachSpan(ctx, nextEventSQL, func(s span) error { return t.readEvents(ctx, s) })
		}},
		{"replay requests", func(ctx context.Context) error {
			return m.eachSpan(ctx, nextReplaySQL, func(s span) error { return t.readReplays(ctx, s) })
		}},
		{"idempotency keys", t.readKeys},
		{"dead letters", func(ctx context.Context) error {
			return m.eachSpan(ctx, nextDeadLetterSQL, func(s span) error { return t.readDeadLetters(ctx, s) })
		}},
	} {
		if err := part.read(ctx); err != nil {
			return Report{}, fmt.Errorf("read the %s: %w", part.name, err)
		}
	}
	t.readQueues(ctx)
	return t.report(), nil
}

// cutoff is the moment since which changes are left out.
func (m *Module) cutoff() time.Time { return m.d.Now().Add(-m.cfg.Grace) }

const (
	nextEventSQL      = `SELECT id FROM normalized_events WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2`
	nextReplaySQL     = `SELECT id FROM replay_requests WHERE id > $1 AND status IN ('queued', 'dispatched') ORDER BY id LIMIT 1 OFFSET $2`
	nextDeadLetterSQL = `SELECT id FROM dead_letters WHERE id > $1 ORDER BY id LIMIT 1 OFFSET $2`
)

// eachSpan cuts all ids into spans of a batch of rows each; next gives the id so many
// rows behind another.
func (m *Module) eachSpan(ctx context.Context, next string, read func(s span) error) error {
	s := span{after: firstID}
	for {
		err := m.d.DB.Get(ctx, &s.upTo, next, s.after, m.cfg.Batch-1)
		if errors.Is(err, sql.ErrNoRows) {
			s.upTo, err = lastID, nil
		}
		if err != nil {
			return err
		}
		if err := read(s); err != nil {
			return err
		}
		if s.upTo == lastID {
			return nil
		}
		s.after = s.upTo
	}
}

// readQueues asks the broker, which need not be there for the books to hold.
func (t *tally) readQueues(ctx context.Context) {
	if t.m.d.Queues == nil {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, t.m.cfg.DepthIn)
	defer cancel()
	for _, q := range []broker.Queue{broker.Process, broker.Replay, broker.Dead} {
		t.queues[string(q)] = nil
		if depth, err := t.m.d.Queues.Depth(bounded, q); err == nil {
			t.queues[string(q)] = &depth
		}
	}
}
