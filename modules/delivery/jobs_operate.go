package delivery

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

var endWaitingSQL = `
UPDATE processing_jobs
SET    ` + endStep.setSQL() + `, completed_at = $1, error_message = $2, wake_at = NULL, published_at = NULL, parked = false
FROM   v
WHERE  normalized_event_id = $3 AND destination_id = v.id AND ` + endStep.whenSQL() + `
RETURNING replay_request_id`

// endWaiting ends the waiting jobs of a locked event for these destinations. It returns their
// number and their replay requests.
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

// order is an operator's request about an event's waiting deliveries.
type order struct {
	DestinationID string `json:"destinationId"`
	Reason        string `json:"reason"`
}

// operated is the answer: the number of affected jobs.
type operated struct {
	EventID string `json:"eventId"`
	Jobs    int    `json:"jobs"`
}

var (
	cancelSpec = httpapi.Spec{
		Summary: "Ends an event's deliveries that wait for another try; a replay can still send it.",
		Body:    order{}, BodyName: "DeliveryOrder", OptionalBody: true,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusAccepted, "DeliveryOrderResult", operated{})},
		Errors:  []fault.Kind{fault.Conflict},
	}
	retrySpec = httpapi.Spec{
		Summary: "Has an event's waiting deliveries tried now.",
		Body:    order{}, BodyName: "DeliveryOrder", OptionalBody: true,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusAccepted, "DeliveryOrderResult", operated{})},
		Errors:  []fault.Kind{fault.Conflict},
	}
)

// cancelEvent cancels an event's waiting deliveries; a replay can still send it.
func (m *Module) cancelEvent(c echo.Context) error {
	return m.operate(c, "event.cancelled", func(ctx context.Context, tx *database.Tx, s contract.EventState, o order, waiting []latest) (int, error) {
		ids := make([]string, len(waiting))
		for i, j := range waiting {
			ids[i] = j.DestinationID
		}
		reason := "cancelled by " + httpapi.Actor(ctx)
		if o.Reason != "" {
			reason += ": " + destination.Brief(o.Reason)
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
UPDATE processing_jobs SET scheduled_at = $1, wake_at = $1, published_at = NULL
FROM   v
WHERE  normalized_event_id = $2 AND destination_id = v.id AND ` + queued.isSQL() + ` AND NOT parked
RETURNING processing_jobs.id`

// retryEvent makes an event's waiting deliveries due now; the attempt counts as the next one.
// Parked jobs stay parked.
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

// inScope returns fault.NotFound for an event outside the caller's scope.
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

// operate runs an operator's order on an event's locked, waiting deliveries and audits it. If
// none waits, it returns a conflict.
func (m *Module) operate(c echo.Context, action string,
	do func(ctx context.Context, tx *database.Tx, s contract.EventState, o order, waiting []latest) (int, error)) error {
	eventID, o := httpapi.ID(c), httpapi.BodyOf[order](c)
	ctx, n := c.Request().Context(), 0
	if err := m.inScope(ctx, eventID); err != nil {
		return err
	}
	err := m.db.InTx(ctx, func(tx *database.Tx) error {
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
