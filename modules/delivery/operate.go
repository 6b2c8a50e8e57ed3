package delivery

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

var endWaitingSQL = `
UPDATE processing_jobs
SET    ` + endStep.set() + `, completed_at = $1, error_message = $2, relay_at = NULL, parked = false
FROM   v
WHERE  normalized_event_id = $3 AND destination_id = v.id AND ` + endStep.when() + `
RETURNING replay_request_id`

// endWaiting ends the jobs of a locked event that wait for these destinations. It
// gives their number and the replay requests that they belonged to.
func (m *Module) endWaiting(ctx context.Context, tx *database.Tx, eventID string, destinationIDs []string, reason string) (n int, requests []string, err error) {
	var owners []sql.NullString
	if err := tx.SelectRows(ctx, &owners, database.IDs(destinationIDs), endWaitingSQL, tx.Now, reason, eventID); err != nil {
		return 0, nil, fmt.Errorf("end waiting jobs: %w", err)
	}
	for _, owner := range owners {
		if owner.Valid && !slices.Contains(requests, owner.String) {
			requests = append(requests, owner.String)
		}
	}
	slices.Sort(requests)
	return len(owners), requests, nil
}

// order is what an operator may say about an event whose deliveries wait.
type order struct {
	DestinationID string `json:"destinationId"`
	Reason        string `json:"reason"`
}

// operated is the answer: how many jobs the order reached.
type operated struct {
	EventID string `json:"eventId"`
	Jobs    int    `json:"jobs"`
}

// cancelEvent ends an event's waiting deliveries for good; a replay can still send it.
func (m *Module) cancelEvent(c echo.Context) error {
	return m.operate(c, "event.cancelled", func(ctx context.Context, tx *database.Tx, s contract.EventState, o order, waiting []latest) (int, error) {
		ids := make([]string, len(waiting))
		for i, j := range waiting {
			ids[i] = j.DestinationID
		}
		reason := "cancelled by " + httpapi.Actor(ctx)
		if o.Reason != "" {
			reason += ": " + brief(o.Reason)
		}
		n, requests, err := m.endWaiting(ctx, tx, s.EventID, ids, reason)
		if err != nil {
			return 0, err
		}
		s.LastError = &reason
		if err := m.endReplays(ctx, tx, requests); err != nil {
			return 0, err
		}
		return n, m.deriveAndSave(ctx, tx, []contract.EventState{s})
	})
}

var retryNowSQL = `
UPDATE processing_jobs SET scheduled_at = $1, relay_at = $1, published_at = NULL
FROM   v
WHERE  normalized_event_id = $2 AND destination_id = v.id AND ` + queued.known() + ` AND NOT parked
RETURNING processing_jobs.id`

// retryEvent has an event's waiting deliveries tried now; the attempt counts as the one
// that was due later. What is parked stays with its destination.
func (m *Module) retryEvent(c echo.Context) error {
	return m.operate(c, "event.retry_requested", func(ctx context.Context, tx *database.Tx, s contract.EventState, _ order, waiting []latest) (int, error) {
		rows := database.NewRows("id uuid")
		for _, j := range waiting {
			rows.Add(j.DestinationID)
		}
		var ids []string
		if err := tx.SelectRows(ctx, &ids, rows, retryNowSQL, tx.Now, s.EventID); err != nil {
			return 0, fmt.Errorf("bring jobs forward: %w", err)
		}
		return len(ids), nil
	})
}

func noEvent(eventID string) error {
	return fault.NotFound.New("event_not_found", "There is no event %s.", eventID)
}

// inScope is fault.NotFound for an event that the caller may not know of.
func (m *Module) inScope(ctx context.Context, eventID string) error {
	if httpapi.ScopeOf(ctx) == nil {
		return nil
	}
	events, err := m.events.Deliverables(ctx, []string{eventID})
	switch {
	case err != nil:
		return err
	case len(events) == 0 || !httpapi.SeesSource(ctx, events[0].Source):
		return noEvent(eventID)
	}
	return nil
}

// operate runs an operator's order on an event's waiting deliveries, locked, and audits
// it. Nothing waiting is a conflict.
func (m *Module) operate(c echo.Context, action string,
	do func(ctx context.Context, tx *database.Tx, s contract.EventState, o order, waiting []latest) (int, error)) error {
	eventID, err := httpapi.ID(c)
	if err != nil {
		return err
	}
	var o order
	if c.Request().ContentLength != 0 {
		if err := httpapi.DecodeJSON(c, 16<<10, &o); err != nil {
			return err
		}
	}
	ctx, n := c.Request().Context(), 0
	if err := m.inScope(ctx, eventID); err != nil {
		return err
	}
	err = m.db.InTx(ctx, func(tx *database.Tx) error {
		states, err := m.events.LockStates(ctx, tx, []string{eventID})
		if err != nil {
			return err
		}
		if len(states) == 0 {
			return noEvent(eventID)
		}
		if err := lockLive(ctx, tx, []string{eventID}); err != nil {
			return err
		}
		jobs, err := latestJobs(ctx, tx, []string{eventID})
		if err != nil {
			return err
		}
		waiting := slices.DeleteFunc(jobs[eventID], func(j latest) bool {
			return j.Status != queued || o.DestinationID != "" && j.DestinationID != o.DestinationID
		})
		if n, err = do(ctx, tx, states[0], o, waiting); err != nil {
			return err
		}
		if n == 0 {
			return fault.Conflict.New("nothing_waits", "No delivery of this event waits; its status is %s.", states[0].Status)
		}
		entry := eventEntry(eventID, action, map[string]any{"jobs": n, "reason": o.Reason})
		entry.Actor = httpapi.Actor(ctx)
		return m.auditor.Record(ctx, tx, []contract.AuditEntry{entry})
	})
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusAccepted, operated{eventID, n})
}
