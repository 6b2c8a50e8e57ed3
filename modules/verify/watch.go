package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
)

// The times of a check that runs by itself.
const (
	// claimFor is for how long a piece may take before another process begins the check anew.
	claimFor = 5 * time.Minute
	// retryAfter is when a check that could not be completed is tried again.
	retryAfter = time.Hour
	// renewEvery bounds how often a claim is renewed.
	renewEvery = time.Minute
	// pieceTimeout limits one pause-free piece of work on the claim.
	pieceTimeout = 10 * time.Second
)

// errClaimLost says that another process has taken over the check.
var errClaimLost = errors.New("another process has begun the consistency check anew")

// Watch checks the records every Config.Every until ctx ends, in pieces with pauses, so that
// it takes Config.Share of one connection's time. One process at a time checks; if it dies,
// another begins anew. It repairs nothing.
func (m *Module) Watch(ctx context.Context) error {
	if m.cfg.Every == 0 {
		return nil
	}
	failing := false
	for clock.Sleep(ctx, m.cfg.Look) {
		err := m.watchOnce(ctx)
		if err != nil && !failing && ctx.Err() == nil && !errors.Is(err, errClaimLost) {
			m.d.Log.WarnContext(ctx, "the consistency check could not be completed; will retry", "error", err)
		}
		failing = err != nil
	}
	return nil
}

// claimSQL takes a check that is due and that no other process works on. A time that is too
// far ahead was written when a clock was wrong.
const claimSQL = `
INSERT INTO consistency_checks (id, process_id, claimed_at, due_at, result) VALUES (1, $1, $2, $2, '')
ON CONFLICT (id) DO UPDATE SET process_id = excluded.process_id, claimed_at = excluded.claimed_at
WHERE (consistency_checks.due_at <= $2 OR consistency_checks.due_at > $3)
AND   (consistency_checks.claimed_at <= $4 OR consistency_checks.claimed_at > $2)`

const renewSQL = `
UPDATE consistency_checks SET claimed_at = $2 WHERE id = 1 AND process_id = $1`

// finishSQL stores a result, "" for none, and frees the claim.
const finishSQL = `
UPDATE consistency_checks
SET    due_at = $2, claimed_at = $3, result = CASE WHEN $4 = '' THEN result ELSE $4 END
WHERE  id = 1 AND process_id = $1`

func (m *Module) exec(ctx context.Context, query string, args ...any) (n int64, err error) {
	bounded, cancel := context.WithTimeout(ctx, pieceTimeout)
	defer cancel()
	err = m.d.DB.InTx(bounded, func(tx *database.Tx) error {
		n, err = tx.Exec(bounded, query, args...)
		return err
	})
	return n, err
}

// watchOnce checks the records if that is due.
func (m *Module) watchOnce(ctx context.Context) error {
	began := m.d.Now()
	claimed, err := m.exec(ctx, claimSQL, m.process, began, began.Add(m.cfg.Every), began.Add(-claimFor))
	if err != nil || claimed == 0 {
		return err
	}
	check := *m
	check.after = m.pausing(clock.Monotonic())
	report, err := check.Run(ctx)
	if err != nil {
		if !errors.Is(err, errClaimLost) {
			// When the process stops, another one begins at once.
			due := m.d.Now()
			if ctx.Err() == nil {
				due = due.Add(min(retryAfter, m.cfg.Every))
			}
			_, freeing := m.exec(context.WithoutCancel(ctx), finishSQL, m.process, due, due.Add(-claimFor), "")
			err = errors.Join(err, freeing)
		}
		return err
	}
	return m.finish(ctx, began, report)
}

func (m *Module) finish(ctx context.Context, began time.Time, report Report) error {
	now := m.d.Now()
	summary := contract.CheckSummary{StartedAt: clock.At(began), FinishedAt: clock.At(now), Holds: report.Holds, Problems: report.Remaining(), Found: map[string]int{}}
	for name, outcome := range report.Checks {
		if outcome.Found > 0 {
			summary.Found[name] = outcome.Found
		}
	}
	text, err := json.Marshal(summary)
	if err != nil {
		return fmt.Errorf("write the result of the check: %w", err)
	}
	if !report.Holds {
		m.d.Log.ErrorContext(ctx, "the consistency check failed; gateway verify lists the problems", "problems", summary.Problems, "found", summary.Found)
	}
	// A check is due an interval after the last one began, but not at once.
	due := began.Add(m.cfg.Every)
	if soonest := now.Add(m.cfg.Every / 2); due.Before(soonest) {
		due = soonest
	}
	saved, err := m.exec(ctx, finishSQL, m.process, due, now.Add(-claimFor), string(text))
	if err == nil && saved == 0 {
		err = errClaimLost
	}
	return err
}

// pausing returns what follows each piece: a pause, and now and then a renewal of the claim.
func (m *Module) pausing(renewed time.Duration) func(ctx context.Context, took time.Duration) error {
	return func(ctx context.Context, took time.Duration) error {
		if m.cfg.Share > 0 && m.cfg.Share < 1 && !clock.Sleep(ctx, min(renewEvery, time.Duration(float64(took)*(1/m.cfg.Share-1)))) {
			return ctx.Err()
		}
		if clock.Monotonic()-renewed < renewEvery {
			return nil
		}
		renewed = clock.Monotonic()
		n, err := m.exec(ctx, renewSQL, m.process, m.d.Now())
		switch {
		case fault.Is(err, fault.Unavailable):
			return nil // the next piece finds out whether the database is there
		case err == nil && n == 0:
			return errClaimLost
		}
		return err
	}
}
