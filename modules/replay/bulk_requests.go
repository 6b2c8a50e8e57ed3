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
INSERT INTO replay_requests (id, normalized_event_id, integration_id, replay_id, destination_id, url_id, only_failed, renormalized, requested_by, reason,
       actor, status, created_at, dispatched_at, due_at)
SELECT id, normalized_event_id, integration_id, $1, destination_id, %s, false, $6, $2, $3, $4, $7, $5, %s, %s
FROM   v
WHERE  id IS NOT NULL
ON CONFLICT DO NOTHING
RETURNING id`

// A request to a URL is due at once; one to a destination waits for delivery to dispatch it.
var (
	insertForURLSQL         = fmt.Sprintf(insertAllSQL, "$1", "$5", "$5")
	insertForDestinationSQL = fmt.Sprintf(insertAllSQL, "NULL", "NULL", "NULL")
)

// RequestAll stores, queues and audits a request for each target of a bulk replay that has none
// yet, and returns their number.
func (m *Module) RequestAll(ctx context.Context, tx *database.Tx, b contract.BulkReplay, targets []contract.ReplayTarget) (int, error) {
	if len(targets) == 0 {
		return 0, nil
	}
	all := make(map[string]request, len(targets))
	rows := database.NewRows("id uuid", "normalized_event_id uuid", "integration_id uuid", "destination_id uuid").Expect(len(targets))
	status, query := queued, insertForDestinationSQL
	if b.ToURL {
		status, query = dispatched, insertForURLSQL
	}
	for _, t := range targets {
		r := request{ID: id.New(), EventID: t.EventID, IntegrationID: t.IntegrationID, ReplayID: &b.ID, Renormalized: b.Renormalized,
			RequestedBy: b.RequestedBy, Reason: b.Reason, Actor: b.Actor, Status: status, CreatedAt: clock.At(tx.Now)}
		if !b.ToURL {
			r.DestinationID = &t.DestinationID
		}
		all[r.ID] = r
		rows.Add(r.ID, r.EventID, r.IntegrationID, r.DestinationID)
	}
	var stored []string
	if err := tx.SelectRows(ctx, &stored, rows, query, b.ID, b.RequestedBy, b.Reason, b.Actor, tx.Now, b.Renormalized, string(status)); err != nil {
		return 0, fmt.Errorf("insert the replay requests: %w", err)
	}
	orders, entries := make([]contract.ReplayOrder, len(stored)), make([]contract.AuditEntry, len(stored))
	for i, requestID := range stored {
		orders[i], entries[i] = all[requestID].order(), requestedEntry(all[requestID])
	}
	if !b.ToURL {
		if err := m.scheduler.DispatchAll(ctx, tx, orders); err != nil {
			return 0, fmt.Errorf("dispatch the replays: %w", err)
		}
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

// CancelSends ends those of these requests to a URL that wait, and returns their number.
func (m *Module) CancelSends(ctx context.Context, tx *database.Tx, list []contract.ReplayCancel, reason string) (int, error) {
	ids := make([]string, len(list))
	for i, c := range list {
		ids[i] = c.RequestID
	}
	return m.sender.Cancel(ctx, tx, ids, reason)
}

const selectRenormalizedSQL = `
SELECT r.id FROM replay_requests r WHERE r.renormalized AND r.id IN (SELECT id FROM v)`

// Renormalized returns those of the requests that send the canonical form by the mapping of now.
func (m *Module) Renormalized(ctx context.Context, requestIDs []string) (map[string]bool, error) {
	var found []string
	if err := m.db.SelectRows(ctx, &found, database.IDs(requestIDs), selectRenormalizedSQL); err != nil {
		return nil, fmt.Errorf("look for renormalized replays: %w", err)
	}
	set := make(map[string]bool, len(found))
	for _, requestID := range found {
		set[requestID] = true
	}
	return set, nil
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
