package destination

import (
	"context"
	"fmt"
	"strings"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// LongestPause bounds a pause that ends by itself.
const LongestPause = 30 * 24 * time.Hour

// resumeAtOnce is how many pauses one transaction ends.
const resumeAtOnce = 100

// pause returns the pause as it is shown.
func (d *Destination) pause() *contract.DestinationPause {
	if d.IsActive || d.PausedAt == nil {
		return nil
	}
	return &contract.DestinationPause{Since: *d.PausedAt, By: d.PausedBy, Reason: d.PauseReason, Until: d.PausedUntil}
}

// switched sets the columns of the pause for a destination that was paused or resumed.
func (d *Destination) switched(ctx context.Context, at time.Time, o contract.PauseOrder) {
	d.PausedAt, d.PausedBy, d.PauseReason, d.PausedUntil = nil, nil, nil, nil
	if d.IsActive {
		return
	}
	since := clock.At(at)
	d.PausedAt, d.PausedUntil = &since, o.Until
	if actor := httpapi.Actor(ctx); actor != "" {
		d.PausedBy = &actor
	}
	if o.Reason != nil {
		reason := strings.TrimSpace(*o.Reason)
		d.PauseReason = &reason
	}
}

const switchSQL = `
UPDATE destinations
SET    is_active = $2, paused_at = $3, paused_by = $4, pause_reason = $5, paused_until = $6, updated_at = $7
WHERE  id = $1`

func (s *Store) switchTo(ctx context.Context, tx *database.Tx, d *Destination) error {
	if _, err := tx.Exec(ctx, switchSQL, d.ID, d.IsActive, d.PausedAt, d.PausedBy, d.PauseReason, d.PausedUntil, tx.Now); err != nil {
		return fmt.Errorf("change destination %s: %w", d.ID, err)
	}
	return nil
}

// PauseDestination stops the deliveries to a destination, until a time if one is given: then a
// process that works resumes it. A paused one gets the new end and reason.
func (s *Store) PauseDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, o contract.PauseOrder) error {
	if o.Until != nil && (!o.Until.After(tx.Now) || o.Until.After(tx.Now.Add(LongestPause))) {
		return fault.Invalid.New("wrong_until", "It must be in the future, and within 30 days.").At("until")
	}
	d, err := s.locked(ctx, tx, integrationID, destinationID)
	if err != nil {
		return err
	}
	d.IsActive = false
	d.switched(ctx, tx.Now, o)
	if err := s.switchTo(ctx, tx, d); err != nil {
		return err
	}
	return s.changed(ctx, tx, d, "destination.paused", map[string]any{"reason": d.PauseReason, "until": d.PausedUntil})
}

// ResumeDestination has deliveries to a destination go on, also those that wait. An active one
// stays as it is.
func (s *Store) ResumeDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string) error {
	d, err := s.locked(ctx, tx, integrationID, destinationID)
	if err != nil || d.IsActive {
		return err
	}
	return s.resume(ctx, tx, d, map[string]any{})
}

func (s *Store) resume(ctx context.Context, tx *database.Tx, d *Destination, details map[string]any) error {
	details["pausedSince"], details["pausedBy"] = d.PausedAt, d.PausedBy
	d.IsActive = true
	d.switched(ctx, tx.Now, contract.PauseOrder{})
	if err := s.switchTo(ctx, tx, d); err != nil {
		return err
	}
	return s.changed(ctx, tx, d, "destination.resumed", details)
}

const (
	selectDueSQL = `
SELECT d.id
FROM   destinations d
WHERE  d.paused_until IS NOT NULL AND d.paused_until <= $1 AND d.archived_at IS NULL
LIMIT  1`
	lockDueSQL = `
SELECT ` + columns + `
FROM   destinations d
WHERE  d.paused_until IS NOT NULL AND d.paused_until <= $1 AND d.archived_at IS NULL
ORDER  BY d.id
LIMIT  $2`
)

// ResumeDue ends the pauses whose time has come. Every process that works may call it: a pause ends
// once.
func (s *Store) ResumeDue(ctx context.Context) error {
	var due []string
	if err := s.db.Select(ctx, &due, selectDueSQL, s.now()); err != nil {
		return fmt.Errorf("look for pauses that end: %w", err)
	}
	if len(due) == 0 {
		return nil
	}
	return s.db.InTx(ctx, func(tx *database.Tx) error {
		var list []Destination
		if err := tx.Select(ctx, &list, lockDueSQL+tx.Dialect.SkipLocked, tx.Now, resumeAtOnce); err != nil {
			return fmt.Errorf("read the pauses that end: %w", err)
		}
		for i := range list {
			if err := s.resume(ctx, tx, &list[i], map[string]any{"reason": "the pause has ended", "until": list[i].PausedUntil}); err != nil {
				return err
			}
		}
		return nil
	})
}
