package delivery

import (
	"strings"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// status is where a job stands.
type status string

const (
	queued    status = "queued"
	running   status = "running"
	succeeded status = "succeeded"
	failed    status = "failed"
)

// transitions is the one table of a job's changes. A statement that sets a status
// names those it may leave with from.
//
//	queued    claimed → running; superseded or cancelled → failed;
//	          received by a late owner → succeeded
//	running   received → succeeded; not received → failed; lease run out,
//	          given back → queued
var transitions = map[status][]status{
	queued:  {running, failed, succeeded},
	running: {succeeded, failed, queued},
}

// from is the SQL list of the statuses that a job may leave for to.
func from(to status) string {
	var list []string
	for _, s := range []status{queued, running} {
		for _, next := range transitions[s] {
			if next == to {
				list = append(list, "'"+string(s)+"'")
			}
		}
	}
	return "(" + strings.Join(list, ", ") + ")"
}

// live is the SQL list of the statuses of a job that is not at its end.
const live = "('queued', 'running')"

// job is a row of processing_jobs, as far as the work needs it. A job without a
// destination stands on the replay queue and dispatches a replay request.
type job struct {
	ID              string           `db:"id"`
	EventID         string           `db:"normalized_event_id"`
	IntegrationID   string           `db:"integration_id"`
	DestinationID   *string          `db:"destination_id"`
	ReplayRequestID *string          `db:"replay_request_id"`
	Trigger         contract.Trigger `db:"triggered_by"`
	Status          status           `db:"status"`
	AttemptNo       int              `db:"attempt_no"`
	BudgetStart     int              `db:"budget_start"`
	CorrelationID   string           `db:"correlation_id"`
	ScheduledAt     clock.Time       `db:"scheduled_at"`
	ErrorMessage    *string          `db:"error_message"`
}

const jobColumns = `id, normalized_event_id, integration_id, destination_id, replay_request_id, triggered_by, status,
	attempt_no, budget_start, correlation_id, scheduled_at, error_message`

func (j job) ref() ref {
	r := ref{JobRef: contract.JobRef{EventID: j.EventID, JobID: j.ID}}
	if j.DestinationID != nil {
		r.Destination = *j.DestinationID
	}
	return r
}

// ref names a job in a message. The destination lets a worker be fair before it
// has claimed anything; it is empty on the replay queue.
type ref struct {
	contract.JobRef
	Destination string `json:"d,omitempty"`
}
