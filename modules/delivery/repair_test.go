package delivery

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// What was right by the time it came to the repair is left as it is: the system may run.
func TestARepairOfWhatIsRightDoesNothing(t *testing.T) {
	eachHarness(t, func(h *harness) {
		destinationID := h.destination(h.receiver.URL)
		waiting := h.accept()
		_, jobs := h.history(waiting)
		received, refused, cancelled := h.accept(), h.accept(), h.accept()
		h.exec(`UPDATE processing_jobs SET status = 'succeeded', wake_at = NULL, completed_at = created_at WHERE normalized_event_id = $1`, received)
		h.exec(`UPDATE processing_jobs SET status = 'failed', wake_at = NULL, completed_at = created_at WHERE normalized_event_id = $1`, refused)
		h.exec(`INSERT INTO dead_letters (id, kind, queue, event_id, destination_id, job_id, reason, attempts, status, created_at)
			SELECT $1, 'refused', 'q', normalized_event_id, destination_id, id, 'gone', 1, 'open', $3 FROM processing_jobs WHERE normalized_event_id = $2`,
			id.New(), refused, h.now())
		h.exec(`UPDATE processing_jobs SET status = 'failed', wake_at = NULL, completed_at = created_at, error_message = 'cancelled by management-key' WHERE normalized_event_id = $1`, cancelled)
		for sentence, d := range map[string]contract.Damage{
			"a live job is there":             {Kind: contract.DamageMissingJob, EventID: waiting, DestinationID: destinationID},
			"it was received":                 {Kind: contract.DamageMissingJob, EventID: received, DestinationID: destinationID},
			"it was given up on":              {Kind: contract.DamageMissingJob, EventID: refused, DestinationID: destinationID},
			"it was cancelled":                {Kind: contract.DamageMissingJob, EventID: cancelled, DestinationID: destinationID},
			"there is no such event":          {Kind: contract.DamageMissingJob, EventID: id.New(), DestinationID: destinationID},
			"the status is what jobs say":     {Kind: contract.DamageStatus, EventID: waiting},
			"the job does not run":            {Kind: contract.DamageLease, EventID: waiting, JobID: jobs[0].ID},
			"the relay will move it":          {Kind: contract.DamageStranded, EventID: waiting, JobID: jobs[0].ID},
			"there is no such job to requeue": {Kind: contract.DamageLease, EventID: waiting, JobID: id.New()},
		} {
			done, err := h.Repair(context.Background(), d)
			require.NoError(t, err, sentence)
			require.False(t, done, sentence)
			require.NotContains(t, h.audit.actions(d.EventID), "books.repaired", sentence)
		}
		h.exec(`DELETE FROM processing_jobs WHERE normalized_event_id = $1`, waiting)
		_, err := h.Repair(context.Background(), contract.Damage{Kind: contract.DamageStatus, EventID: waiting})
		require.Error(t, err, "its jobs are gone, and it is not done for that")
		require.Equal(t, contract.EventPending, h.state(waiting).Status)
		_, err = h.Repair(context.Background(), contract.Damage{Kind: "a gap", EventID: waiting})
		require.Error(t, err)
		_, err = h.Repair(context.Background(), contract.Damage{Kind: contract.DamageMissingJob, EventID: waiting, DestinationID: id.New()})
		require.Error(t, err, "there is no such destination")
	})
}

func TestAReopenedDeliveryGoesOnInItsBudgetAndItsReplay(t *testing.T) {
	eachHarness(t, func(h *harness) {
		destinationID := h.destination(h.receiver.URL)
		h.receiver.answers(func(n int, w http.ResponseWriter, _ *http.Request) {
			if n <= 4 {
				w.WriteHeader(500)
			}
		})
		stop := h.run()
		eventID := h.accept()
		h.becomes(eventID, contract.EventFailed) // three attempts
		request := h.replay(contract.ReplayOrder{EventID: eventID})
		h.eventually("the replay's second attempt", func() bool { return h.replays.end(request) != nil })
		stop()

		_, jobs := h.history(eventID)
		h.exec(`DELETE FROM processing_jobs WHERE id = $1`, jobs[len(jobs)-1].ID)
		h.exec(`DELETE FROM delivery_attempts WHERE attempt_no = 5`)
		h.exec(`UPDATE event_states SET status = 'retrying'`)
		done, err := h.Repair(context.Background(), contract.Damage{Kind: contract.DamageMissingJob, EventID: eventID, DestinationID: destinationID})
		require.NoError(t, err)
		require.True(t, done)
		var again struct {
			Replay    string `db:"replay_request_id"`
			Number    int    `db:"attempt_no"`
			Budget    int    `db:"budget_start"`
			Triggered string `db:"triggered_by"`
		}
		require.NoError(t, h.db.Get(context.Background(), &again, `SELECT replay_request_id, attempt_no, budget_start, triggered_by FROM processing_jobs WHERE status = 'queued'`))
		require.Equal(t, request, again.Replay)
		require.Equal(t, 5, again.Number)
		require.Equal(t, 3, again.Budget)
		require.Equal(t, "retry", again.Triggered)
		require.Equal(t, contract.EventRetrying, h.state(eventID).Status)

		h.run()
		h.becomes(eventID, contract.EventProcessed)
	})
}

func TestAReopenedDeliveryToNobodyWaits(t *testing.T) {
	eachHarness(t, func(h *harness) {
		destinationID := h.destination(h.receiver.URL)
		eventID := h.accept()
		h.exec(`DELETE FROM processing_jobs`)
		h.exec(`UPDATE destinations SET is_active = false`)
		h.destinations.Changed(h.integration)
		done, err := h.Repair(context.Background(), contract.Damage{Kind: contract.DamageMissingJob, EventID: eventID, DestinationID: destinationID})
		require.NoError(t, err)
		require.True(t, done)
		var parked bool
		require.NoError(t, h.db.Get(context.Background(), &parked, `SELECT parked FROM processing_jobs`))
		require.True(t, parked)
	})
}

func TestAStrandedJobIsPublishedInItsTime(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		due, later := h.accept(), h.accept()
		at := h.now().Add(time.Hour)
		h.exec(`UPDATE processing_jobs SET wake_at = NULL, published_at = NULL`)
		h.exec(`UPDATE processing_jobs SET scheduled_at = $2 WHERE normalized_event_id = $1`, later, at)
		for eventID, soon := range map[string]bool{due: true, later: false} {
			_, jobs := h.history(eventID)
			done, err := h.Repair(context.Background(), contract.Damage{Kind: contract.DamageStranded, EventID: eventID, JobID: jobs[0].ID})
			require.NoError(t, err)
			require.True(t, done)
			var relay time.Time
			require.NoError(t, h.db.Get(context.Background(), &relay, `SELECT wake_at FROM processing_jobs WHERE normalized_event_id = $1`, eventID))
			require.Equal(t, soon, relay.Before(at.Add(-time.Minute)))
		}
	})
}

// A repair read of the destination and the event while its transaction held the last connection.
func TestARepairNeedsNoSecondConnection(t *testing.T) {
	db, err := database.Open(database.Config{URL: testkit.Postgres(t), MaxConnections: 2}, clock.System) // one for transactions
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	h := newHarness(t, db, Config{})
	h.Module.events = readingEvents{h.events}
	url, filter := h.receiver.URL, "eventType != ''"
	made := h.add(contract.DestinationConfig{URL: &url, Filter: &filter})
	event := h.accept()
	h.exec(`DELETE FROM processing_jobs`)
	h.destinations.Changed(h.integration)
	done, err := h.Repair(t.Context(), contract.Damage{Kind: contract.DamageMissingJob, EventID: event, DestinationID: made.ID})
	require.NoError(t, err)
	require.True(t, done)

	h.exec(`DELETE FROM processing_jobs`)
	h.exec(`UPDATE event_states SET status = 'failed'`)
	h.destinations.Changed(h.integration)
	_, err = h.Repair(t.Context(), contract.Damage{Kind: contract.DamageStatus, EventID: event})
	require.True(t, fault.Is(err, fault.Conflict), "%v", err)
}
