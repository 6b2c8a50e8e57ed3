package alerts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// message is what a notice says: the payload of Standard Webhooks.
type message struct {
	Type      string     `json:"type"` // alert.opened, alert.resolved or alert.test
	Timestamp clock.Time `json:"timestamp"`
	Data      view       `json:"data"`
}

// notice is a row of alert_notices: a message to one target.
type notice struct {
	ID        string     `db:"id"`
	Target    string     `db:"target"`
	Body      string     `db:"body"`
	CreatedAt clock.Time `db:"created_at"`
	Attempts  int        `db:"attempts"`
}

const (
	insertNoticeSQL = `
INSERT INTO alert_notices (id, alert_id, target, body, created_at, due_at, attempts)
VALUES ($1, $2, $3, $4, $5, $5, 0)`
	// claimNoticesSQL takes the first unsent notice of each target, if it is due, and puts it
	// off for as long as sending it may take. Later ones wait, so that no target learns of
	// an end before the beginning.
	claimNoticesSQL = `
UPDATE alert_notices SET due_at = $2
WHERE  done_at IS NULL AND due_at <= $1 AND NOT EXISTS (
       SELECT 1 FROM alert_notices AS e
       WHERE  e.done_at IS NULL AND e.target = alert_notices.target AND e.id < alert_notices.id)
RETURNING id, target, body, created_at, attempts`
	finishNoticeSQL = `
UPDATE alert_notices SET done_at = $2, attempts = attempts + 1, error = $3 WHERE id = $1`
	postponeNoticeSQL = `
UPDATE alert_notices SET due_at = $2, attempts = attempts + 1, error = $3 WHERE id = $1`
	forgetNoticesSQL = `
DELETE FROM alert_notices WHERE done_at < $1`
)

// notify stores a notice for each target.
func (m *Module) notify(ctx context.Context, tx *database.Tx, a alert, what string) error {
	text, err := json.Marshal(message{what, clock.At(tx.Now), a.view()})
	if err != nil {
		return fmt.Errorf("write the notice: %w", err)
	}
	for _, target := range m.cfg.Targets {
		if _, err := tx.Exec(ctx, insertNoticeSQL, id.New(), a.ID, target.Name, string(text), tx.Now); err != nil {
			return fmt.Errorf("store the notice: %w", err)
		}
	}
	level := m.d.Log.WarnContext
	if what != "alert.opened" {
		level = m.d.Log.InfoContext
	}
	level(ctx, what, "condition", a.Condition, "subject", a.Subject, "summary", a.Summary)
	return nil
}

// sendTimeout limits one attempt.
const sendTimeout = 10 * time.Second

// atMostInRound bounds the notices of one round, and so its time.
const atMostInRound = 100

// sendDue sends what is due, one notice of each target after the other.
func (m *Module) sendDue(ctx context.Context) error {
	for range atMostInRound {
		due, err := m.claimNotices(ctx)
		if err != nil || len(due) == 0 {
			return err
		}
		var failed error
		for _, n := range due {
			failed = errors.Join(failed, m.send(ctx, n))
		}
		if failed != nil {
			return failed
		}
	}
	return nil
}

func (m *Module) claimNotices(ctx context.Context) (due []notice, err error) {
	err = m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		if _, err := tx.Exec(ctx, forgetNoticesSQL, tx.Now.Add(-m.cfg.GiveUp)); err != nil {
			return err
		}
		return tx.Select(ctx, &due, claimNoticesSQL, tx.Now, tx.Now.Add(2*sendTimeout))
	})
	if err != nil {
		return nil, fmt.Errorf("claim the notices: %w", err)
	}
	return due, nil
}

// send makes one attempt and stores its outcome. A notice whose target is not configured any
// more is done.
func (m *Module) send(ctx context.Context, n notice) error {
	var failure error
	for _, target := range m.cfg.Targets {
		if target.Name == n.Target {
			bounded, cancel := context.WithTimeout(ctx, sendTimeout)
			failure = m.sendTo(bounded, target, n)
			cancel()
		}
	}
	if ctx.Err() != nil {
		return nil // the process ends; another one sends it
	}
	return m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		var text *string
		if failure != nil {
			said := failure.Error()
			text = &said
			m.d.Log.WarnContext(ctx, "a notice of an alert was not sent", "target", n.Target, "attempt", n.Attempts+1, "error", said)
			if tx.Now.Sub(n.CreatedAt.Time) < m.cfg.GiveUp {
				_, err := tx.Exec(ctx, postponeNoticeSQL, n.ID, tx.Now.Add(m.cfg.Retry.Wait(n.Attempts)), text)
				return err
			}
		}
		_, err := tx.Exec(ctx, finishNoticeSQL, n.ID, tx.Now, text)
		return err
	})
}
