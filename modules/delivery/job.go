package delivery

import (
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

// step is a change of a job's status. Statements that change one are made of a step's
// set and when, so that a late writer cannot undo a newer state.
type step struct{ from, to status }

// The steps of a job: the one table of what may become what. Whoever made the step is
// named; docs/domain-model.md draws it.
var (
	claimStep   = step{queued, running}    // a worker
	succeedStep = step{running, succeeded} // its worker, once the destination received
	failStep    = step{running, failed}    // its worker, once it did not; an erasure
	releaseStep = step{running, queued}    // its worker gives it back, or the sweep after its lease
	endStep     = step{queued, failed}     // a replay supersedes it, an operator cancels it, an erasure
	lateStep    = step{queued, succeeded}  // a worker whose lease had run out, once the destination received
)

func (s step) set() string  { return "status = '" + string(s.to) + "'" }
func (s step) when() string { return s.from.known() }

// known is the SQL for a job of that status that is found by its key. Written so, it keeps
// the planner from reading a partial index of all jobs of that status instead.
func (s status) known() string { return "status || '' = '" + string(s) + "'" }

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

// job is the little that a message says of one.
func (r ref) job() job {
	j := job{ID: r.JobID, EventID: r.EventID}
	if r.Destination != "" {
		j.DestinationID = &r.Destination
	}
	return j
}

// ref names a job in a message. The destination lets a worker be fair before it
// has claimed anything; it is empty on the replay queue.
type ref struct {
	contract.JobRef
	Destination string `json:"d,omitempty"`
}
