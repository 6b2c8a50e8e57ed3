package replay

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// request is a row of replay_requests.
type request struct {
	ID            string      `db:"id"`
	EventID       string      `db:"normalized_event_id"`
	IntegrationID string      `db:"integration_id"`
	ReplayID      *string     `db:"replay_id"` // the bulk replay that it belongs to
	DestinationID *string     `db:"destination_id"`
	URLID         *string     `db:"url_id"` // where it goes in place of destinations
	URL           *string     `db:"url"`
	OnlyFailed    bool        `db:"only_failed"`
	Renormalized  bool        `db:"renormalized"` // it sends the canonical form by the mapping of now
	RequestedBy   string      `db:"requested_by"`
	Reason        string      `db:"reason"`
	Actor         string      `db:"actor"`
	Status        status      `db:"status"`
	ErrorMessage  *string     `db:"error_message"`
	CreatedAt     clock.Time  `db:"created_at"`
	DispatchedAt  *clock.Time `db:"dispatched_at"`
	CompletedAt   *clock.Time `db:"completed_at"`
	Attempts      int         `db:"attempts"` // at the URL, as the next two
	HTTPStatus    *int        `db:"http_status"`
	ErrorKind     *string     `db:"error_kind"`
}

const requestColumns = `id, normalized_event_id, integration_id, replay_id, destination_id, url_id, only_failed, renormalized, requested_by, reason, actor,
       status, error_message, created_at, dispatched_at, completed_at, attempts, http_status, error_kind,
       (SELECT u.url FROM replay_urls u WHERE u.id = replay_requests.url_id) AS url`

const insertRequestSQL = `
INSERT INTO replay_requests (id, normalized_event_id, integration_id, destination_id, url_id, only_failed, requested_by, reason, actor, status, created_at,
       dispatched_at, due_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)`

// insertRequest stores a request. One that goes to a URL is due at once.
func insertRequest(ctx context.Context, tx *database.Tx, r request) error {
	_, err := tx.Exec(ctx, insertRequestSQL, r.ID, r.EventID, r.IntegrationID, r.DestinationID, r.URLID, r.OnlyFailed,
		r.RequestedBy, r.Reason, r.Actor, string(r.Status), r.CreatedAt, r.DispatchedAt)
	if err != nil {
		return fmt.Errorf("insert the replay request: %w", err)
	}
	return nil
}

const lockRequestsSQL = `
SELECT ` + requestColumns + `
FROM   replay_requests
WHERE  id IN (SELECT id FROM v)
ORDER  BY id`

// lockRequests returns the requests in id order, locked until tx ends. Unknown ids are left
// out.
func lockRequests(ctx context.Context, tx *database.Tx, ids []string) ([]request, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var locked []request
	err := tx.SelectRows(ctx, &locked, database.IDs(ids), lockRequestsSQL+tx.Dialect.ForUpdate)
	if err != nil {
		return nil, fmt.Errorf("lock the replay requests: %w", err)
	}
	return locked, nil
}

const updateStatusesSQL = `
UPDATE replay_requests AS r
SET    status        = v.new_status,
       error_message = v.error_message,
       dispatched_at = CASE v.new_status WHEN 'dispatched' THEN $1 ELSE r.dispatched_at END,
       completed_at  = CASE v.new_status WHEN 'dispatched' THEN r.completed_at ELSE $1 END
FROM   v
WHERE  r.id = v.id AND r.status = v.old_status`

// updateStatuses applies transitions of locked requests, each on the condition that the
// request still has its old status.
func updateStatuses(ctx context.Context, tx *database.Tx, transitions []transition) error {
	rows := database.NewRows("id uuid", "old_status text", "new_status text", "error_message text")
	for _, s := range transitions {
		rows.Add(s.ID, string(s.Status), string(s.to), s.err)
	}
	n, err := tx.ExecRows(ctx, rows, updateStatusesSQL, tx.Now)
	if err != nil {
		return fmt.Errorf("update the replay requests: %w", err)
	}
	if int(n) != len(transitions) {
		return fmt.Errorf("update the replay requests: %d of %d locked rows changed", n, len(transitions))
	}
	return nil
}

const selectRequestSQL = `
SELECT ` + requestColumns + `
FROM   replay_requests
WHERE  id = $1`

// readRequest returns one request. Requests of sources that ctx's credential may not see
// are not found.
func readRequest(ctx context.Context, db *database.DB, id string) (request, error) {
	var r request
	err := db.Get(ctx, &r, selectRequestSQL, id)
	scope := httpapi.ScopeOf(ctx)
	if errors.Is(err, sql.ErrNoRows) || err == nil && scope != nil && !slices.Contains(scope.Integrations, r.IntegrationID) {
		return request{}, fault.NotFound.New("replay_request_not_found", "There is no replay request %s.", id)
	}
	if err != nil {
		return r, fmt.Errorf("read the replay request: %w", err)
	}
	return r, nil
}

// newestFirst lists requests by id, which sorts by creation time.
var newestFirst = database.Listing[request]{
	Columns: requestColumns,
	From:    "replay_requests",
	ID:      "id",
	Desc:    true,
	Key:     func(r request) database.Position { return database.Position{ID: r.ID} },
}

// filter selects requests; empty fields match any.
type filter struct {
	eventID, status, destinationID, replayID string
	from, to                                 *time.Time // of createdAt, both included
}

// readRequests lists the requests that match want. It lists only those that ctx's credential
// may see.
func readRequests(ctx context.Context, db *database.DB, want filter, page database.Page) (database.List[request], error) {
	var f database.Filter
	for _, exact := range []struct{ column, value string }{
		{"normalized_event_id", want.eventID}, {"status", want.status}, {"destination_id", want.destinationID},
		{"replay_id", want.replayID},
	} {
		if exact.value != "" {
			f.Add(exact.column+" = ?", exact.value)
		}
	}
	f.CreatedBetween("id", "created_at", want.from, want.to)
	if scope := httpapi.ScopeOf(ctx); scope != nil {
		f.Among("integration_id", scope.Integrations)
	}
	return database.ReadList(ctx, db, newestFirst, &f, page)
}
