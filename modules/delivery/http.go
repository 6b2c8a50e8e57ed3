package delivery

import (
	"context"
	"fmt"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/httpapi"
)

const attemptColumns = `id, normalized_event_id, integration_id, destination_id, attempt_no, status, http_status,
	response_body, error_message,
	CASE WHEN error_kind LIKE 'egress_refused:%' THEN 'egress_refused' ELSE error_kind END AS error_kind,
	CASE WHEN error_kind LIKE 'egress_refused:%' THEN substr(error_kind, 16) END AS refusal, duration_ms, created_at`

const selectDestinationsOfSQL = `
SELECT d.id FROM destinations d WHERE d.integration_id IN (SELECT id FROM v)`

func (m *Module) listAttempts(c echo.Context) error {
	q := httpapi.QueryOf(c)
	paging := q.Paging("newest")
	f := attemptFilter(q)
	if err := q.Err(); err != nil {
		return err
	}
	if scope := httpapi.ScopeOf(c.Request().Context()); scope != nil {
		var own []string // destinations, by which attempts have an index
		if err := m.db.SelectRows(c.Request().Context(), &own, database.IDs(scope.Integrations), selectDestinationsOfSQL); err != nil {
			return fmt.Errorf("find the destinations of the scope: %w", err)
		}
		f.Among("destination_id", own)
	}
	list, err := database.ReadList(c.Request().Context(), m.db, newestAttempts, f, paging.Page)
	if err != nil {
		return fmt.Errorf("list attempts: %w", err)
	}
	return httpapi.Paged(c, paging, list, func(a contract.Attempt) contract.Attempt { return a })
}

var newestAttempts = database.Listing[contract.Attempt]{
	Columns: attemptColumns, From: "delivery_attempts", ID: "id", Desc: true,
	Key: func(a contract.Attempt) database.Position { return database.Position{ID: a.ID} },
}

// attemptFilter reads the conditions of GET /deliveries.
func attemptFilter(q *httpapi.Query) *database.Filter {
	f := &database.Filter{}
	result := q.Enum("status", "", "success", "failed")
	kind := q.Enum("errorKind", "", failureKinds...)
	event, dest := q.UUID("eventId"), q.UUID("destinationId")
	for column, value := range map[string]string{"status": result, "normalized_event_id": event, "destination_id": dest} {
		if value != "" {
			f.Add(column+" = ?", value)
		}
	}
	if kind != "" {
		f.Add("status = 'failed'")              // the index has no others
		if kind == string(egress.KindRefused) { // a reason may follow it
			f.Add("(error_kind = ? OR error_kind LIKE ?)", kind, kind+":%")
		} else {
			f.Add("error_kind = ?", kind)
		}
	}
	return f
}

const selectAttemptsSQL = `
SELECT ` + attemptColumns + `
FROM   delivery_attempts
WHERE  normalized_event_id = $1
ORDER  BY id`

const selectJobsSQL = `
SELECT id, normalized_event_id, destination_id, queue_name, triggered_by, status, attempt_no, scheduled_at, started_at,
       completed_at, error_message, created_at
FROM   processing_jobs
WHERE  normalized_event_id = $1
ORDER  BY id`

// History gives an event's attempts and jobs, oldest first.
func (m *Module) History(ctx context.Context, eventID string) ([]contract.Attempt, []contract.Job, error) {
	attempts := []contract.Attempt{}
	if err := m.db.Select(ctx, &attempts, selectAttemptsSQL, eventID); err != nil {
		return nil, nil, fmt.Errorf("read attempts: %w", err)
	}
	jobs, err := m.Jobs(ctx, eventID)
	return attempts, jobs, err
}

// Jobs gives an event's jobs, oldest first.
func (m *Module) Jobs(ctx context.Context, eventID string) ([]contract.Job, error) {
	jobs := []contract.Job{}
	if err := m.db.Select(ctx, &jobs, selectJobsSQL, eventID); err != nil {
		return nil, fmt.Errorf("read jobs: %w", err)
	}
	return jobs, nil
}
