package delivery

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// holding runs a query in a transaction that stays open until release is called.
func (h *harness) holding(query string, args ...any) (release func()) {
	h.t.Helper()
	held, done := make(chan struct{}), make(chan struct{})
	var open sync.WaitGroup
	open.Go(func() {
		err := h.db.InTx(context.Background(), func(tx *database.Tx) error {
			if _, err := tx.Exec(context.Background(), query, args...); err != nil {
				return err
			}
			close(held)
			<-done
			return nil
		})
		if err != nil {
			h.t.Errorf("hold a lock: %v", err)
		}
	})
	<-held
	release = sync.OnceFunc(func() { close(done); open.Wait() })
	h.t.Cleanup(release)
	return release
}

const lockJobSQL = `SELECT id FROM processing_jobs WHERE normalized_event_id = $1 FOR UPDATE`

// A claim waited for a job that another transaction held, with all others of its batch, and with
// all of the worker's loop.
func TestAJobThatIsLockedKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	h := newHarness(t, testkit.Open(t, testkit.Postgres(t)), Config{})
	h.destination(h.receiver.URL)
	locked, other := h.accept(), h.accept()
	release := h.holding(lockJobSQL, locked)
	h.run()
	h.becomes(other, contract.EventProcessed)
	require.Equal(t, contract.EventPending, h.state(locked).Status)
	require.Equal(t, 1, h.receiver.count())
	release()
	h.becomes(locked, contract.EventProcessed)
	require.Equal(t, 2, h.receiver.count(), "once each")
}

// Whoever holds a job may be another worker's claim: when it commits, the message is not needed
// any more, and the sweep finds the job if that worker dies.
func TestAJobThatWasLockedByAClaimIsFoundByTheSweep(t *testing.T) {
	t.Parallel()
	h := newHarness(t, testkit.Open(t, testkit.Postgres(t)), Config{})
	h.destination(h.receiver.URL)
	event, other := h.accept(), h.accept()
	claimIt := `UPDATE processing_jobs SET status = 'running', claim_token = $1, lease_until = clock_timestamp() + interval '1 hour',
		wake_at = now() + interval '1 hour' WHERE normalized_event_id = $2`
	commit := h.holding(claimIt, id.New(), event)
	h.run()
	h.becomes(other, contract.EventProcessed)
	commit()
	h.eventually("its message to be settled", func() bool {
		depth, err := h.broker.Depth(context.Background(), "process")
		return err == nil && depth == 0
	})
	_, jobs := h.history(event)
	require.Equal(t, "running", jobs[0].Status)
	h.exec(`UPDATE processing_jobs SET lease_until = now() - interval '1 second', wake_at = now() WHERE normalized_event_id = $1`, event)
	h.becomes(event, contract.EventProcessed)
	require.Equal(t, 2, h.receiver.count())
}

// A driver that repeats a claim may come before the first one has ended: the job is then held by
// this worker's own claim.
func TestAJobThatIsLockedByTheOwnClaimIsTakenUp(t *testing.T) {
	t.Parallel()
	h := newHarness(t, testkit.Open(t, testkit.Postgres(t)), Config{})
	h.destination(h.receiver.URL)
	event := h.accept()
	token, r := id.New(), (<-h.publisher.queue).ref
	commit := h.holding(`UPDATE processing_jobs SET status = 'running', claim_token = $1, lease_until = clock_timestamp() + interval '1 hour'
		WHERE normalized_event_id = $2`, token, event)
	jobs, err := h.claim(t.Context(), token, []ref{r})
	require.NoError(t, err)
	require.Empty(t, jobs)
	commit()
	standings, err := h.standings(t.Context(), []ref{r})
	require.NoError(t, err)
	require.True(t, standings[0].claimedAs(token))
	require.False(t, standings[0].claimedAs(id.New()))
	jobs, err = h.claim(t.Context(), token, []ref{r})
	require.NoError(t, err)
	require.Len(t, jobs, 1)
}

// The sweep, and with it the relay, waited for each job or state that another transaction held.
func TestTheSweepLeavesOutWhatIsLocked(t *testing.T) {
	t.Parallel()
	h := newHarness(t, testkit.Open(t, testkit.Postgres(t)), Config{})
	h.destination(h.receiver.URL)
	statuses := func(events ...string) (list []string) {
		for _, event := range events {
			_, jobs := h.history(event)
			list = append(list, jobs[0].Status)
		}
		return list
	}
	jobLocked, stateLocked, early, free := h.accept(), h.accept(), h.accept(), h.accept()
	refs := make([]ref, 4)
	for i := range refs {
		refs[i] = (<-h.publisher.queue).ref
	}
	_, err := h.claim(t.Context(), id.New(), refs)
	require.NoError(t, err)
	h.exec(`UPDATE processing_jobs SET lease_until = now() - interval '1 second', wake_at = now() - interval '1 second'`)
	h.exec(`UPDATE processing_jobs SET lease_until = now() + interval '1 hour' WHERE normalized_event_id = $1`, early)
	var releases []func()
	releases = append(releases, h.holding(lockJobSQL, jobLocked), h.holding(lockJobSQL, early),
		h.holding(`SELECT 1 FROM event_states WHERE event_id = $1 FOR UPDATE`, stateLocked))
	require.NoError(t, h.sweep(t.Context()))
	require.Equal(t, []string{"running", "running", "running", "queued"}, statuses(jobLocked, stateLocked, early, free))
	for _, release := range releases {
		release()
	}
	require.NoError(t, h.sweep(t.Context()))
	require.Equal(t, []string{"queued", "queued", "running", "queued"}, statuses(jobLocked, stateLocked, early, free))
}
