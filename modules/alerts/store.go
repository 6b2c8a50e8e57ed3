package alerts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// alert is a row of alerts. It is pending until opened_at, and live until resolved_at.
type alert struct {
	ID             string      `db:"id"`
	Condition      string      `db:"condition"`
	Subject        string      `db:"subject"`
	Severity       string      `db:"severity"`
	Summary        string      `db:"summary"`
	Value          float64     `db:"value"`
	Since          clock.Time  `db:"since"`
	OpenedAt       *clock.Time `db:"opened_at"`
	CalmSince      *clock.Time `db:"calm_since"`
	ResolvedAt     *clock.Time `db:"resolved_at"`
	NotifiedAt     *clock.Time `db:"notified_at"`
	AcknowledgedAt *clock.Time `db:"acknowledged_at"`
	AcknowledgedBy *string     `db:"acknowledged_by"`
	Note           *string     `db:"note"`
}

const alertColumns = `id, condition, subject, severity, summary, value, since, opened_at, calm_since, resolved_at,
       notified_at, acknowledged_at, acknowledged_by, note`

// key is what makes two findings the same.
type key struct{ condition, subject string }

func (f finding) key() key { return key{f.condition, f.subject} }

func compareKeys(a, b key) int {
	if c := strings.Compare(a.condition, b.condition); c != 0 {
		return c
	}
	return strings.Compare(a.subject, b.subject)
}

// claimTurnSQL takes the next evaluation, unless another process took it less than an interval
// ago.
const claimTurnSQL = `
INSERT INTO alert_turns (id, claimed_at) VALUES (1, $1)
ON CONFLICT (id) DO UPDATE SET claimed_at = excluded.claimed_at
WHERE  alert_turns.claimed_at <= $2 OR alert_turns.claimed_at > $3`

func (m *Module) claimTurn(ctx context.Context, now time.Time) (bool, error) {
	var claimed int64
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) (err error) {
		claimed, err = tx.Exec(ctx, claimTurnSQL, now, now.Add(-m.cfg.Every), now.Add(m.cfg.Every))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("claim the evaluation of alerts: %w", err)
	}
	return claimed > 0, nil
}

const (
	selectLiveSQL = `
SELECT ` + alertColumns + `
FROM   alerts
WHERE  resolved_at IS NULL
ORDER  BY id`
	insertAlertSQL = `
INSERT INTO alerts (id, condition, subject, severity, summary, value, since, opened_at, notified_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	updateAlertSQL = `
UPDATE alerts
SET    severity = $2, summary = $3, value = $4, opened_at = $5, calm_since = $6, resolved_at = $7, notified_at = $8
WHERE  id = $1`
	deleteAlertSQL = `
DELETE FROM alerts WHERE id = $1`
	forgetAlertsSQL = `
DELETE FROM alerts WHERE resolved_at < $1`
)

// keptFor is how long resolved alerts are kept.
const keptFor = 400 * 24 * time.Hour

// apply stores the transitions that follow from the findings, and their notices.
func (m *Module) apply(ctx context.Context, found []finding) error {
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		var live []alert
		if err := tx.Select(ctx, &live, selectLiveSQL+tx.Dialect.ForUpdate); err != nil {
			return err
		}
		mutes, err := mutesOf(ctx, tx)
		if err != nil {
			return err
		}
		holds := map[key]finding{}
		for _, f := range found {
			holds[f.key()] = f
		}
		for _, a := range live {
			f, ok := holds[a.key()]
			delete(holds, a.key())
			if err := m.follow(ctx, tx, a, f, ok, mutes); err != nil {
				return err
			}
		}
		for _, f := range found {
			if _, isNew := holds[f.key()]; isNew {
				if err := m.begin(ctx, tx, f, mutes); err != nil {
					return err
				}
			}
		}
		_, err = tx.Exec(ctx, forgetAlertsSQL, tx.Now.Add(-keptFor))
		return err
	})
	if err != nil {
		return fmt.Errorf("store the alerts: %w", err)
	}
	return nil
}

func (a alert) key() key { return key{a.Condition, a.Subject} }

// begin stores a condition that holds for the first time.
func (m *Module) begin(ctx context.Context, tx *database.Tx, f finding, mutes mutes) error {
	a := alert{ID: id.New(), Condition: f.condition, Subject: f.subject, Severity: f.severity, Summary: f.summary, Value: f.value, Since: clock.At(tx.Now)}
	if f.hold == 0 {
		a.open(tx.Now)
		if err := m.notifyOpen(ctx, tx, &a, mutes); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, insertAlertSQL, a.ID, a.Condition, a.Subject, a.Severity, a.Summary, a.Value, a.Since, a.OpenedAt, a.NotifiedAt)
	return err
}

func (a *alert) open(now time.Time) {
	at := clock.At(now)
	a.OpenedAt = &at
}

// follow brings a live alert up to date; holds says whether its condition still does.
func (m *Module) follow(ctx context.Context, tx *database.Tx, a alert, f finding, holds bool, mutes mutes) error {
	now := clock.At(tx.Now)
	switch {
	case holds:
		a.Severity, a.Summary, a.Value, a.CalmSince = f.severity, f.summary, f.value, nil
		if a.OpenedAt == nil && tx.Now.Sub(a.Since.Time) >= f.hold {
			a.OpenedAt = &now
		}
		if a.OpenedAt != nil && a.NotifiedAt == nil {
			if err := m.notifyOpen(ctx, tx, &a, mutes); err != nil {
				return err
			}
		}
	case a.OpenedAt == nil:
		_, err := tx.Exec(ctx, deleteAlertSQL, a.ID)
		return err
	case a.CalmSince == nil:
		a.CalmSince = &now
	case tx.Now.Sub(a.CalmSince.Time) >= m.cfg.Calm:
		a.ResolvedAt = &now
		if a.NotifiedAt != nil {
			if err := m.notify(ctx, tx, a, "alert.resolved"); err != nil {
				return err
			}
		}
	}
	_, err := tx.Exec(ctx, updateAlertSQL, a.ID, a.Severity, a.Summary, a.Value, a.OpenedAt, a.CalmSince, a.ResolvedAt, a.NotifiedAt)
	return err
}

// notifyOpen tells that an alert opened, unless it is muted. When the mute ends and the alert
// is still open, it is told then.
func (m *Module) notifyOpen(ctx context.Context, tx *database.Tx, a *alert, mutes mutes) error {
	if mutes.cover(a.Condition, a.Subject, tx.Now) {
		return nil
	}
	at := clock.At(tx.Now)
	a.NotifiedAt = &at
	return m.notify(ctx, tx, *a, "alert.opened")
}

const selectAlertSQL = `
SELECT ` + alertColumns + `
FROM   alerts
WHERE  id = $1 AND opened_at IS NOT NULL`

func readAlert(ctx context.Context, tx *database.Tx, alertID string) (alert, error) {
	var a alert
	err := tx.Get(ctx, &a, selectAlertSQL, alertID)
	if errors.Is(err, sql.ErrNoRows) {
		return a, fault.NotFound.New("alert_not_found", "There is no alert %s.", alertID)
	}
	if err != nil {
		return a, fmt.Errorf("read the alert: %w", err)
	}
	return a, nil
}
