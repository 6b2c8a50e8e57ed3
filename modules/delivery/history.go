package delivery

import (
	"context"
	"fmt"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// attemptRow is a row of delivery_attempts; its fields are those of contract.Attempt.
type attemptRow struct {
	ID                string     `db:"id"`
	NormalizedEventID string     `db:"normalized_event_id"`
	IntegrationID     string     `db:"integration_id"`
	DestinationID     string     `db:"destination_id"`
	AttemptNo         int        `db:"attempt_no"`
	Status            string     `db:"status"`
	HTTPStatus        *int       `db:"http_status"`
	ResponseBody      *string    `db:"response_body"`
	ErrorMessage      *string    `db:"error_message"`
	ErrorKind         *string    `db:"error_kind"`
	Refusal           *string    `db:"refusal"`
	DurationMS        int        `db:"duration_ms"`
	CreatedAt         clock.Time `db:"created_at"`
}

// jobRow is a row of processing_jobs.
type jobRow struct {
	ID                string           `db:"id"`
	NormalizedEventID string           `db:"normalized_event_id"`
	DestinationID     *string          `db:"destination_id"`
	TriggeredBy       contract.Trigger `db:"triggered_by"`
	Status            string           `db:"status"`
	AttemptNo         int              `db:"attempt_no"`
	StartedAt         *clock.Time      `db:"started_at"`
	CompletedAt       *clock.Time      `db:"completed_at"`
	ErrorMessage      *string          `db:"error_message"`
	due
}

// An attempt's integration is its destination's.
const attemptColumns = `id, normalized_event_id,
	(SELECT d.integration_id FROM destinations d WHERE d.id = destination_id) AS integration_id, destination_id, attempt_no, status, http_status,
	response_body, error_message,
	CASE WHEN error_kind LIKE 'egress_refused:%' THEN 'egress_refused' ELSE error_kind END AS error_kind,
	CASE WHEN error_kind LIKE 'egress_refused:%' THEN substr(error_kind, 16) END AS refusal, duration_ms, created_at`

const selectAttemptsSQL = `
SELECT ` + attemptColumns + `
FROM   delivery_attempts
WHERE  normalized_event_id = $1
ORDER  BY id`

const selectJobsSQL = `
SELECT id, normalized_event_id, destination_id, triggered_by, status, attempt_no, scheduled_at, started_at,
       completed_at, error_message, created_at
FROM   processing_jobs
WHERE  normalized_event_id = $1
ORDER  BY id`

// History returns an event's attempts and jobs, oldest first.
func (m *Module) History(ctx context.Context, eventID string) ([]contract.Attempt, []contract.Job, error) {
	var rows []attemptRow
	if err := m.db.Select(ctx, &rows, selectAttemptsSQL, eventID); err != nil {
		return nil, nil, fmt.Errorf("read attempts: %w", err)
	}
	attempts := make([]contract.Attempt, len(rows))
	for i, r := range rows {
		attempts[i] = contract.Attempt(r)
	}
	jobs, err := m.Jobs(ctx, eventID)
	return attempts, jobs, err
}

// Jobs returns an event's jobs, oldest first.
func (m *Module) Jobs(ctx context.Context, eventID string) ([]contract.Job, error) {
	var rows []jobRow
	if err := m.db.Select(ctx, &rows, selectJobsSQL, eventID); err != nil {
		return nil, fmt.Errorf("read jobs: %w", err)
	}
	jobs := make([]contract.Job, len(rows))
	for i, r := range rows {
		jobs[i] = m.job(r)
	}
	return jobs, nil
}

func (m *Module) job(r jobRow) contract.Job {
	return contract.Job{ID: r.ID, NormalizedEventID: r.NormalizedEventID, DestinationID: r.DestinationID,
		QueueName: m.queueOf(r.DestinationID, r.TriggeredBy), TriggeredBy: r.TriggeredBy, Status: r.Status, AttemptNo: r.AttemptNo,
		ScheduledAt: r.at(), StartedAt: r.StartedAt, CompletedAt: r.CompletedAt, ErrorMessage: r.ErrorMessage, CreatedAt: r.CreatedAt}
}
