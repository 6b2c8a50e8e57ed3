package replay

import (
	"context"
	"fmt"

	"github.com/labstack/echo/v4"

	"integration-gateway/modules/replay/bulk"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

const insertAllSQL = `
INSERT INTO replay_requests (id, normalized_event_id, integration_id, replay_id, destination_id, only_failed, requested_by, reason, actor, status, created_at)
SELECT id, normalized_event_id, integration_id, $1, destination_id, false, $2, $3, $4, 'queued', $5
FROM   v
WHERE  id IS NOT NULL
ON CONFLICT DO NOTHING
RETURNING id`

// RequestAll stores, queues and audits a request for each target of a bulk replay that has none
// yet, and returns their number.
func (m *Module) RequestAll(ctx context.Context, tx *database.Tx, b contract.BulkReplay, targets []contract.ReplayTarget) (int, error) {
	if len(targets) == 0 {
		return 0, nil
	}
	all := make(map[string]request, len(targets))
	rows := database.NewRows("id uuid", "normalized_event_id uuid", "integration_id uuid", "destination_id uuid").Expect(len(targets))
	for _, t := range targets {
		r := request{ID: id.New(), EventID: t.EventID, IntegrationID: t.IntegrationID, ReplayID: &b.ID, DestinationID: &t.DestinationID,
			RequestedBy: b.RequestedBy, Reason: b.Reason, Actor: b.Actor, Status: queued, CreatedAt: clock.At(tx.Now)}
		all[r.ID] = r
		rows.Add(r.ID, r.EventID, r.IntegrationID, t.DestinationID)
	}
	var stored []string
	if err := tx.SelectRows(ctx, &stored, rows, insertAllSQL, b.ID, b.RequestedBy, b.Reason, b.Actor, tx.Now); err != nil {
		return 0, fmt.Errorf("insert the replay requests: %w", err)
	}
	orders, entries := make([]contract.ReplayOrder, len(stored)), make([]contract.AuditEntry, len(stored))
	for i, requestID := range stored {
		orders[i], entries[i] = all[requestID].order(), requestedEntry(all[requestID])
	}
	if err := m.scheduler.DispatchAll(ctx, tx, orders); err != nil {
		return 0, fmt.Errorf("dispatch the replays: %w", err)
	}
	return len(stored), m.audit.Record(ctx, tx, entries)
}

const selectOpenSQL = `
SELECT id, normalized_event_id
FROM   replay_requests
WHERE  replay_id = $1 AND status IN ('queued', 'dispatched')
ORDER  BY id
LIMIT  $2`

// Open returns the first requests of a bulk replay that have not ended.
func (m *Module) Open(ctx context.Context, replayID string, limit int) ([]contract.ReplayCancel, error) {
	var rows []struct {
		ID      string `db:"id"`
		EventID string `db:"normalized_event_id"`
	}
	if err := m.db.Select(ctx, &rows, selectOpenSQL, replayID, limit); err != nil {
		return nil, fmt.Errorf("look for open requests: %w", err)
	}
	open := make([]contract.ReplayCancel, len(rows))
	for i, r := range rows {
		open[i] = contract.ReplayCancel{RequestID: r.ID, EventID: r.EventID}
	}
	return open, nil
}

// countEnds passes on how many requests of bulk replays ended by these transitions.
func (m *Module) countEnds(ctx context.Context, tx *database.Tx, transitions []transition) error {
	ended := map[string]bulk.Progress{}
	for _, s := range transitions {
		if s.ReplayID == nil || s.to == dispatched {
			continue
		}
		p := ended[*s.ReplayID]
		if s.to == completed {
			p.Delivered++
		} else {
			p.Failed++
		}
		ended[*s.ReplayID] = p
	}
	return m.bulk.Ended(ctx, tx, ended)
}

var bulkListSpec = httpapi.Spec{
	Summary: "The requests of a bulk replay, one for each event and destination, newest first.",
	Query: httpapi.PagedQuery(append([]httpapi.Param{
		httpapi.EnumParam("status", "those with this status", string(queued), string(dispatched), string(completed), string(failed)),
		httpapi.UUIDParam("eventId", "those of this event"),
		httpapi.UUIDParam("destinationId", "those of this destination alone"),
	}, httpapi.Between("created")...)...),
	Answers: []httpapi.Answer{httpapi.ReturnsPage("ReplayRequest", view{})},
}

func (m *Module) listBulk(c echo.Context) error {
	q := httpapi.QueryOf(c)
	paging := q.Paging()
	ctx, replayID := c.Request().Context(), httpapi.ID(c)
	if _, err := m.bulk.Visible(ctx, replayID); err != nil {
		return err
	}
	from, to := q.Between("created")
	want := filter{eventID: q.UUID("eventId"), status: q.Enum("status"), destinationID: q.UUID("destinationId"), replayID: replayID, from: from, to: to}
	list, err := readRequests(ctx, m.db, want, paging.Page)
	if err != nil {
		return err
	}
	return httpapi.Paged(c, paging, list, viewOf)
}
