package delivery

import (
	"context"
	"slices"
	"time"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// noDestination is the reason of an event that ends without a delivery.
const noDestination = "the integration has no destination"

// newJob is a job to be inserted.
type newJob struct {
	id, eventID             string
	destinationID, replayID *string
	trigger                 contract.Trigger
	attemptNo, budgetStart  int
	parked                  bool
	delay                   time.Duration // 0: it is due now
}

func (j newJob) ref() ref {
	r := ref{JobRef: contract.JobRef{EventID: j.eventID, JobID: j.id}}
	if j.destinationID != nil {
		r.Destination = *j.destinationID
	}
	return r
}

// Schedule creates the first job of each event for each destination of its integration that
// wants it by Route's answers, and publishes the jobs after the commit. Jobs of an inactive
// destination are parked. An event that no destination wants gets no job. Schedule uses the
// current destinations: a destination removed since Route gets nothing, and one whose filter
// changed since gets the event. They come from memory, except those that this
// process has changed since, and where memory has none.
func (m *Module) Schedule(ctx context.Context, tx *database.Tx, events []contract.NewEvent) ([]contract.Scheduled, error) {
	var jobs []newJob
	scheduled := make([]contract.Scheduled, len(events))
	all, err := m.destinationsOf(ctx, tx, events)
	if err != nil {
		return nil, err
	}
	for i, e := range events {
		scheduled[i].EventID = e.EventID
		destinations, notes := route(all[e.IntegrationID], e.Answers)
		scheduled[i].Filters = notes
		if len(destinations) == 0 {
			scheduled[i].Reason = nobody(notes)
		}
		for _, d := range destinations {
			j := newJob{id: id.New(), eventID: e.EventID, destinationID: &d.ID, trigger: contract.TriggerWebhook, attemptNo: 1,
				parked: !d.Flows()}
			jobs = append(jobs, j)
			scheduled[i].Jobs = append(scheduled[i].Jobs, j.ref().JobRef)
		}
	}
	return scheduled, m.insertJobs(ctx, tx, jobs)
}

// destinationsOf returns the destinations of the events' integrations: from memory, and by one
// query in tx those that it cannot be sure of. Memory alone never decides that an event has no
// destination: another process may have created the first one a moment ago.
func (m *Module) destinationsOf(ctx context.Context, tx *database.Tx, events []contract.NewEvent) (map[string][]*destination.Destination, error) {
	found, unsure := map[string][]*destination.Destination{}, []string(nil)
	for _, integrationID := range eventIDs(events, func(e contract.NewEvent) string { return e.IntegrationID }) {
		list, sure := m.destinations.LastOf(integrationID)
		found[integrationID] = list
		if !sure {
			unsure = append(unsure, integrationID)
		}
	}
	if len(unsure) == 0 {
		return found, nil
	}
	read, err := m.destinations.ReadOf(ctx, tx, unsure)
	for _, integrationID := range unsure {
		found[integrationID] = read[integrationID]
	}
	return found, err
}

// Dispatch puts a replay request on the replay queue: a job row, published after
// the commit. An unknown destination is a fault.Invalid.
func (m *Module) Dispatch(ctx context.Context, tx *database.Tx, o contract.ReplayOrder, integrationID string) error {
	if o.DestinationID != nil {
		if takes, err := m.takesNew(ctx, tx, integrationID, *o.DestinationID); err != nil {
			return err
		} else if !takes {
			return fault.Invalid.New("unknown_destination", "destinationId must be a current destination of the event's integration.").At("destinationId")
		}
	}
	return m.insertJobs(ctx, tx, []newJob{{id: id.New(), eventID: o.EventID, replayID: &o.RequestID, trigger: contract.TriggerReplay, attemptNo: 1}})
}

// takesNew reports whether the integration has this destination and it was not removed.
func (m *Module) takesNew(ctx context.Context, tx *database.Tx, integrationID, destinationID string) (bool, error) {
	if d, known := m.destinations.Known(destinationID); known && d != nil {
		return d.IntegrationID == integrationID && d.ArchivedAt == nil, nil
	}
	all, err := m.destinations.ReadOf(ctx, tx, []string{integrationID})
	return slices.ContainsFunc(all[integrationID], func(d *destination.Destination) bool { return d.ID == destinationID }), err
}

// insertJobs stores jobs and publishes those that are not parked after the commit.
func (m *Module) insertJobs(ctx context.Context, tx *database.Tx, jobs []newJob) error {
	rows := database.NewRows("id uuid", "normalized_event_id uuid", "destination_id uuid", "replay_request_id uuid", "triggered_by text",
		"status text", "attempt_no bigint", "budget_start bigint", "parked boolean", "wake_at timestamptz", "scheduled_at timestamptz",
		"created_at timestamptz").Expect(len(jobs))
	var announcements []announcement
	for _, j := range jobs {
		if j.trigger == contract.TriggerRetry { // the relay ends the jobs of a cancelled destination
			j.parked = j.parked || m.destinations.Cached(*j.destinationID).Cancelled()
		}
		a := m.announcement(j.ref(), tx.Now, j.delay)
		if !j.parked {
			announcements = append(announcements, a)
		}
		rows.Add(j.id, j.eventID, j.destinationID, j.replayID, string(j.trigger), string(queued), j.attemptNo, j.budgetStart, j.parked,
			orNull(a.wakeAt, j.parked), orNull(tx.Now.Add(j.delay), j.delay == 0), tx.Now)
	}
	if err := tx.Insert(ctx, "processing_jobs", rows); err != nil {
		return err
	}
	tx.AfterCommit(func() { m.publisher.announce(announcements) })
	return nil
}
