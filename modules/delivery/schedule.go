package delivery

import (
	"context"
	"time"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// noDestination is the reason of an event that ends without a delivery.
const noDestination = "the integration has no destination"

// newJob is a job to be inserted.
type newJob struct {
	id, eventID, integrationID string
	destinationID, replayID    *string
	queue                      string
	trigger                    contract.Trigger
	attemptNo, budgetStart     int
	correlationID              string
	parked                     bool
	delay                      time.Duration
}

func (j newJob) ref() ref {
	r := ref{JobRef: contract.JobRef{EventID: j.eventID, JobID: j.id}}
	if j.destinationID != nil {
		r.Destination = *j.destinationID
	}
	return r
}

// Schedule makes the first job of each event for each destination of its
// integration that wants it, and has them published after the commit. A job of a
// destination that is not active waits, parked. An event that nobody wants gets none.
func (m *Module) Schedule(ctx context.Context, tx *database.Tx, events []contract.NewEvent) ([]contract.Scheduled, error) {
	var jobs []newJob
	scheduled := make([]contract.Scheduled, len(events))
	for i, e := range events {
		scheduled[i].EventID = e.EventID
		all, err := m.directory.of(ctx, e.IntegrationID)
		if err != nil {
			return nil, err
		}
		destinations, notes := route(all, e)
		scheduled[i].Filters = notes
		if len(destinations) == 0 {
			scheduled[i].Reason = nobody(notes)
		}
		for _, d := range destinations {
			j := newJob{id: id.New(), eventID: e.EventID, integrationID: e.IntegrationID, destinationID: &d.ID,
				queue: m.cfg.Queues.Process, trigger: contract.TriggerWebhook, attemptNo: 1,
				correlationID: e.CorrelationID, parked: !d.flows()}
			jobs = append(jobs, j)
			scheduled[i].Jobs = append(scheduled[i].Jobs, j.ref().JobRef)
		}
	}
	return scheduled, m.insertJobs(ctx, tx, jobs)
}

// Dispatch puts a replay request on the replay queue: a job row, published after
// the commit. An unknown destination is a fault.Invalid.
func (m *Module) Dispatch(ctx context.Context, tx *database.Tx, o contract.ReplayOrder, integrationID, correlationID string) error {
	if o.DestinationID != nil {
		known, err := m.directory.get(ctx, []string{*o.DestinationID})
		if err != nil {
			return err
		}
		if d := known[*o.DestinationID]; d.IntegrationID != integrationID || d.ArchivedAt != nil {
			return fault.Invalid.New("unknown_destination", "destinationId must be a destination of the event's integration that was not removed.").At("destinationId")
		}
	}
	return m.insertJobs(ctx, tx, []newJob{{id: id.New(), eventID: o.EventID, integrationID: integrationID,
		replayID: &o.RequestID, queue: m.cfg.Queues.Replay, trigger: contract.TriggerReplay, attemptNo: 1,
		correlationID: correlationID}})
}

// insertJobs stores jobs and has those that are not parked published after the
// commit.
func (m *Module) insertJobs(ctx context.Context, tx *database.Tx, jobs []newJob) error {
	rows := database.NewRows("id uuid", "normalized_event_id uuid", "integration_id uuid", "destination_id uuid",
		"replay_request_id uuid", "queue_name text", "triggered_by text", "status text", "attempt_no bigint",
		"budget_start bigint", "correlation_id text", "parked boolean", "relay_at timestamptz",
		"scheduled_at timestamptz", "created_at timestamptz").Expect(len(jobs))
	var announcements []announcement
	for _, j := range jobs {
		if j.trigger == contract.TriggerRetry {
			known, err := m.directory.get(ctx, []string{*j.destinationID})
			if err != nil {
				return err
			}
			j.parked = j.parked || known[*j.destinationID].cancelled() // for the relay to end it
		}
		a := m.announcement(j.ref(), tx.Now, j.delay)
		if !j.parked {
			announcements = append(announcements, a)
		}
		rows.Add(j.id, j.eventID, j.integrationID, j.destinationID, j.replayID, j.queue, string(j.trigger), string(queued),
			j.attemptNo, j.budgetStart, j.correlationID, j.parked, orNever(a.relayAt, j.parked), tx.Now.Add(j.delay), tx.Now)
	}
	if err := tx.Insert(ctx, "processing_jobs", rows); err != nil {
		return err
	}
	tx.AfterCommit(func() { m.publisher.announce(announcements) })
	return nil
}
