package delivery

import (
	"cmp"
	"slices"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// status is the status of a job.
type status string

const (
	queued    status = "queued"
	running   status = "running"
	succeeded status = "succeeded"
	failed    status = "failed"
)

// step is a transition of a job's status. Statements that change the status use a step's
// setSQL and whenSQL, so that a late writer cannot overwrite a newer status.
type step struct{ from, to status }

// The transitions of a job, each with its author. docs/domain-model.md draws them.
var (
	claimStep   = step{queued, running}    // a worker
	succeedStep = step{running, succeeded} // its worker, once the destination received
	failStep    = step{running, failed}    // its worker, once it did not; an erasure
	releaseStep = step{running, queued}    // its worker releases it, or the sweep after its lease
	endStep     = step{queued, failed}     // a replay supersedes it, an operator cancels it, an erasure
	lateStep    = step{queued, succeeded}  // a worker whose lease had expired, once the destination received
)

func (s step) setSQL() string  { return "status = '" + string(s.to) + "'" }
func (s step) whenSQL() string { return s.from.isSQL() }

// isSQL is the SQL condition for a status in queries by key. This form keeps the planner from
// using a partial index of all jobs with that status.
func (s status) isSQL() string { return "status || '' = '" + string(s) + "'" }

// live is the SQL list of the statuses of jobs that have not ended.
const live = "('queued', 'running')"

// job is a row of processing_jobs with the columns that workers need. A job without a
// destination is on the replay queue and dispatches a replay request.
type job struct {
	ID              string           `db:"id"`
	EventID         string           `db:"normalized_event_id"`
	DestinationID   *string          `db:"destination_id"`
	ReplayRequestID *string          `db:"replay_request_id"`
	Trigger         contract.Trigger `db:"triggered_by"`
	Status          status           `db:"status"`
	AttemptNo       int              `db:"attempt_no"`
	BudgetStart     int              `db:"budget_start"`
	ErrorMessage    *string          `db:"error_message"`
	due
}

// due is when a job is due: from its creation, unless it is scheduled for another time.
type due struct {
	CreatedAt   clock.Time  `db:"created_at"`
	ScheduledAt *clock.Time `db:"scheduled_at"`
}

func (d due) at() clock.Time {
	if d.ScheduledAt != nil {
		return *d.ScheduledAt
	}
	return d.CreatedAt
}

const jobColumns = `id, normalized_event_id, destination_id, replay_request_id, triggered_by, status,
	attempt_no, budget_start, created_at, scheduled_at, error_message`

func (j job) ref() ref {
	r := ref{JobRef: contract.JobRef{EventID: j.EventID, JobID: j.ID}}
	if j.DestinationID != nil {
		r.Destination = *j.DestinationID
	}
	return r
}

// job returns a job with just the fields of a message.
func (r ref) job() job {
	j := job{ID: r.JobID, EventID: r.EventID}
	if r.Destination != "" {
		j.DestinationID = &r.Destination
	}
	return j
}

// ref identifies a job in a message. The destination allows a worker to schedule fairly
// before it claims the job; it is empty on the replay queue.
type ref struct {
	contract.JobRef
	Destination string `json:"d,omitempty"`
}

func (r ref) valid() bool {
	return id.Valid(r.EventID) && id.Valid(r.JobID) && (r.Destination == "" || id.Valid(r.Destination))
}

// compare orders jobs in the locking order of their rows.
func (r ref) compare(other ref) int {
	return cmp.Or(cmp.Compare(r.EventID, other.EventID), cmp.Compare(r.JobID, other.JobID))
}

// refRows returns the relation v (event_id, id) of jobs, in locking order.
func refRows(refs []ref) *database.Rows {
	sorted := slices.SortedFunc(slices.Values(refs), ref.compare)
	rows := database.NewRows("event_id uuid", "id uuid").Expect(len(sorted))
	for _, r := range sorted {
		rows.Add(r.EventID, r.JobID)
	}
	return rows
}

// eventIDs returns the distinct event ids of all items, sorted.
func eventIDs[T any](items []T, of func(T) string) []string {
	ids := make([]string, len(items))
	for i, item := range items {
		ids[i] = of(item)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func chunks[T any](list []T, size int) [][]T { return slices.Collect(slices.Chunk(list, size)) }

// direct reports whether a job that is due in delay is published by its creator. The broker
// delays messages only for the process queue, and only for a limited time; the relay publishes
// the others.
func direct(r ref, delay time.Duration) bool {
	return delay == 0 || r.Destination != "" && delay <= broker.MaxDelay
}

// announcement describes how to publish a job that is queued at now and due in delay. The
// relay publishes it if the direct publish has not done so in time, or if there is none.
func (m *Module) announcement(r ref, now time.Time, delay time.Duration) announcement {
	a := announcement{ref: r, delay: delay, wakeAt: now.Add(delay)}
	if direct(r, delay) {
		a.wakeAt = a.wakeAt.Add(m.cfg.RelayGrace)
	}
	return a
}

// orNull returns at, or nil for null.
func orNull(at time.Time, null bool) *time.Time {
	if null {
		return nil
	}
	return &at
}

func newRef(eventID, jobID string) ref {
	return ref{JobRef: contract.JobRef{EventID: eventID, JobID: jobID}}
}
