package bulk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/failpoint"
)

const (
	stepTimeout = 30 * time.Second
	mostOpen    = 1000 // replays that a process works on
	// mostTargets bounds the deliveries of a page, in pages of events.
	mostTargets = 2
)

// errLost says that a step was not committed: the lease, the status or the position of the
// replay is another one by now.
var errLost = errors.New("the replay is no longer this process's, or was changed")

// Run works on replays until ctx ends, and then gives up its leases.
func (m *Replays) Run(ctx context.Context) error {
	failing := false
	for {
		wait, err := m.Round(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			m.d.Log.WarnContext(ctx, "working on bulk replays failed; will retry", "error", err)
		}
		if failing = err != nil; failing {
			wait = m.cfg.Look
		}
		if !clock.Sleep(ctx, wait) {
			m.release(context.WithoutCancel(ctx))
			return nil
		}
	}
}

const selectOpenSQL = `
SELECT ` + replayColumns + `, lease_token, lease_until
FROM   replays
WHERE  ended_at IS NULL AND status <> 'paused' AND (lease_token = $1 OR lease_until IS NULL OR lease_until < $2)
ORDER  BY id
LIMIT  $3`

// held is a replay with its lease.
type held struct {
	replay
	LeaseToken *string     `db:"lease_token"`
	LeaseUntil *clock.Time `db:"lease_until"`
}

// Round does the next step of each replay that no other process works on. It returns after
// which time the next round is due.
func (m *Replays) Round(ctx context.Context) (wait time.Duration, err error) {
	bounded, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	var open []held
	if err := m.d.DB.Select(bounded, &open, selectOpenSQL, m.token, m.d.Now(), mostOpen); err != nil {
		return m.cfg.Look, fmt.Errorf("look for replays: %w", err)
	}
	for known := range m.scan {
		if !slices.ContainsFunc(open, func(h held) bool { return h.ID == known }) {
			delete(m.scan, known)
		}
	}
	wait = m.cfg.Look
	for _, h := range open {
		next, stepErr := m.step(ctx, h)
		if stepErr != nil && !errors.Is(stepErr, errLost) {
			err = errors.Join(err, fmt.Errorf("replay %s: %w", h.ID, stepErr))
			continue
		}
		wait = min(wait, next)
	}
	return max(wait, 0), err
}

// step does the next step of a replay and returns when the one after it is due.
func (m *Replays) step(ctx context.Context, h held) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	now := m.d.Now()
	mine := h.LeaseToken != nil && *h.LeaseToken == m.token
	if !mine || h.Status == queued || h.LeaseUntil.Before(now.Add(m.cfg.Lease/2)) {
		if err := m.claim(ctx, &h.replay); err != nil {
			return m.cfg.Look, err
		}
	}
	switch {
	case h.Status == cancelled:
		return m.drain(ctx, h.replay)
	case h.CountedAt == nil:
		return 0, m.countSome(ctx, h.replay)
	case h.ScannedAt == nil:
		if wait := h.NextAt.Sub(now); wait > 0 {
			return wait, nil
		}
		return m.page(ctx, h.replay)
	}
	return m.finish(ctx, h.replay)
}

const claimSQL = `
UPDATE replays
SET    lease_token = $1, lease_until = $2, status = $3, updated_at = $4, started_at = CASE WHEN started_at IS NULL THEN $4 ELSE started_at END,
       next_at = CASE WHEN lease_token = $1 OR next_at > $4 THEN next_at ELSE $4 END
WHERE  id = $5 AND status = $6 AND ended_at IS NULL AND (lease_token = $1 OR lease_until IS NULL OR lease_until < $4)`

// claim takes or extends the lease. The time for which nobody had it is not caught up.
func (m *Replays) claim(ctx context.Context, r *replay) error {
	to := r.Status
	if to == queued {
		to = running
	}
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		return one(tx.Exec(ctx, claimSQL, m.token, tx.Now.Add(m.cfg.Lease), to, tx.Now, r.ID, r.Status))
	})
	if err == nil {
		r.Status = to
	}
	return err
}

// one turns the count of a conditional update of one row into an error.
func one(n int64, err error) error {
	if err == nil && n != 1 {
		return errLost
	}
	return err
}

const countedSQL = `
UPDATE replays
SET    matched = matched + $1, after_at = $2, after_id = $3, counted_at = $4, updated_at = $5, next_at = $5, lease_until = $6
WHERE  id = $7 AND status = 'running' AND lease_token = $8 AND after_at = $9 AND after_id = $10 AND counted_at IS NULL`

// countSome counts a part of what the filter matches. After the last part the position is the
// beginning again, and the rate begins to count.
func (m *Replays) countSome(ctx context.Context, r replay) error {
	part, err := m.look(ctx, r, m.cfg.Scan)
	if err != nil {
		return err
	}
	return m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		after, done := part.last, (*time.Time)(nil)
		if part.end {
			after, done = startOf(r.Filter), &tx.Now
		}
		return one(tx.Exec(ctx, countedSQL, part.deliveries(), after.At, after.EventID, done, tx.Now, tx.Now.Add(m.cfg.Lease),
			r.ID, m.token, r.AfterAt, r.AfterID))
	})
}

func (m *Replays) look(ctx context.Context, r replay, limit int) (found, error) {
	integrations, err := sourcesOf(ctx, m.d.DB, r.ID)
	if err != nil {
		return found{}, err
	}
	return m.find(ctx, r.Filter, integrations, r.where(), r.position(), r.UpTo, limit)
}

const pageSQL = `
UPDATE replays
SET    queued = queued + $1, after_at = $2, after_id = $3, next_at = $4, scanned_at = $5, updated_at = $6, lease_until = $7,
       matched = CASE WHEN $8 OR matched < queued + $1 THEN queued + $1 ELSE matched END
WHERE  id = $9 AND status = 'running' AND lease_token = $10 AND after_at = $11 AND after_id = $12 AND scanned_at IS NULL`

// page asks for the next events. The requests, their jobs and the position commit together; the
// position comes last, so that what was changed meanwhile undoes all of it.
func (m *Replays) page(ctx context.Context, r replay) (time.Duration, error) {
	size := pageSize(r.Rate, m.d.Now.Since(r.NextAt.Time), m.cfg.Page)
	scan := max(m.scan[r.ID], size)
	part, err := m.look(ctx, r, scan)
	if err != nil {
		return 0, err
	}
	m.scan[r.ID] = nextScan(scan, len(part.events), size, m.cfg.Scan)
	events, targets, last, end := part.take(size, mostTargets*m.cfg.Page)
	var next time.Time
	err = m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		n, err := m.d.Requests.RequestAll(ctx, tx, r.bulk(), targets)
		if err != nil {
			return err
		}
		var done *time.Time
		if end {
			done = &tx.Now
		}
		next = nextAt(r.NextAt.Time, tx.Now, events, r.Rate)
		failpoint.Hit(failpoint.BeforeReplayPage)
		return one(tx.Exec(ctx, pageSQL, n, last.At, last.EventID, next, done, tx.Now, tx.Now.Add(m.cfg.Lease), end,
			r.ID, m.token, r.AfterAt, r.AfterID))
	})
	if err != nil {
		return 0, err
	}
	failpoint.Hit(failpoint.AfterReplayPage)
	return next.Sub(m.d.Now()), nil
}

const releaseSQL = `
UPDATE replays SET lease_token = NULL, lease_until = NULL WHERE lease_token = $1 AND ended_at IS NULL`

// release gives up this process's leases, so that another one need not wait for their end.
func (m *Replays) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Lease)
	defer cancel()
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		_, err := tx.Exec(ctx, releaseSQL, m.token)
		return err
	})
	if err != nil {
		m.d.Log.WarnContext(ctx, "releasing the leases of bulk replays failed; they will expire", "error", err)
	}
}
