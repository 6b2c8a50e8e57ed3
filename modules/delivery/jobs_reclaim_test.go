package delivery

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// counted counts the jobs that are taken back or published again.
type counted struct {
	noMetrics
	leases, unpublished, messageLost, queueLost atomic.Int64
}

func (c *counted) LeasesExpired(jobs int) { c.leases.Add(int64(jobs)) }

func (c *counted) Republished(cause string, jobs int) {
	map[string]*atomic.Int64{"unpublished": &c.unpublished, "message_lost": &c.messageLost, "queue_lost": &c.queueLost}[cause].Add(int64(jobs))
}

func TestATokenTellsItsProcess(t *testing.T) {
	one, other := id.New(), id.New()
	first, last := tokensOf(one)
	token := tokenOf(one, id.New())
	require.True(t, id.Valid(token))
	require.NotEqual(t, token, tokenOf(one, id.New()), "each claim has its own")
	require.True(t, first <= token && token <= last)
	foreign := tokenOf(other, id.New())
	require.False(t, first <= foreign && foreign <= last)
}

// A worker that is killed used to keep its jobs until their leases ran out: the longest
// timeout and half a minute.
func TestWhatADeadProcessHeldIsDeliveredAtOnce(t *testing.T) {
	eachHarness(t, func(h *harness) {
		memory := cache.NewMemory(0, clock.System)
		h.cache = memory
		counts := &counted{}
		h.metrics = counts
		h.destination(h.receiver.URL)
		held, others := h.accept(), h.accept()
		dead := id.New()
		claim := func(process string) claimed {
			list, err := h.claim(context.Background(), tokenOf(process, id.New()), []ref{(<-h.publisher.queue).ref})
			require.NoError(t, err)
			require.Len(t, list, 1)
			_, err = memory.Claim(context.Background(), []cache.Claim{list[0].lock(time.Minute)})
			require.NoError(t, err)
			return list[0]
		}
		claim(dead)
		alive := claim(id.New())

		require.NoError(t, h.Reclaim(context.Background(), dead))
		require.NoError(t, h.Reclaim(context.Background(), dead), "twice does no harm")
		require.Equal(t, int64(1), counts.leases.Load())
		_, jobs := h.history(others)
		require.Equal(t, "running", jobs[0].Status, "another process's claim is left alone")
		h.run()
		h.becomes(held, contract.EventProcessed) // also by way of the lock that the dead one held
		require.Equal(t, 1, h.receiver.count())
		answers, err := memory.Claim(context.Background(), []cache.Claim{alive.lock(time.Minute)})
		require.NoError(t, err)
		require.False(t, answers[0].Won, "the living one's lock is left alone")
	})
}

func TestMessagesThatNameUnknownJobsAreCounted(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		stranger := announcement{ref: ref{JobRef: contract.JobRef{EventID: id.New(), JobID: id.New()}, Destination: id.New()}}
		h.publisher.publish(context.Background(), []announcement{stranger})
		h.run()
		h.eventually("the unknown job to be counted", func() bool { return h.audit.refused() == 1 })
		require.Equal(t, "unknown_job", h.audit.refusals[0].Reason)
		depth, err := h.broker.Depth(context.Background(), "process")
		require.NoError(t, err)
		require.Zero(t, depth, "its message is dealt with")
	})
}

// An event that the database lost after its delivery began leaves no attempt behind that
// belongs to nothing; the other outcomes of its group are stored.
func TestOutcomesOfWhatTheDatabaseLostAreLeftOut(t *testing.T) {
	eachHarness(t, func(h *harness) {
		destinationID := h.destination(h.receiver.URL)
		lost, kept := h.accept(), h.accept()
		refs := []ref{(<-h.publisher.queue).ref, (<-h.publisher.queue).ref}
		claims, err := h.claim(context.Background(), id.New(), refs)
		require.NoError(t, err)
		h.exec(`DELETE FROM processing_jobs WHERE normalized_event_id = $1`, lost)
		h.exec(`DELETE FROM event_states WHERE event_id = $1`, lost)
		var outcomes []attemptResult
		for _, c := range claims {
			outcomes = append(outcomes, attemptResult{claimed: c, destination: &destination.Destination{ID: destinationID}, response: response{status: 200}})
		}
		require.NoError(t, h.record(outcomes))
		attempts, _ := h.history(lost)
		require.Empty(t, attempts)
		require.Equal(t, contract.EventProcessed, h.state(kept).Status)
		require.Equal(t, 1, h.audit.refused())
	})
}

// A connection that broke under the answer had the driver claim once more. It found the jobs
// running, for somebody else as it seemed, and their messages were dealt with.
func TestAClaimThatRunsTwiceGivesItsJobsTwice(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.accept()
		r := (<-h.publisher.queue).ref
		token := id.New()
		for range 2 {
			list, err := h.claim(context.Background(), token, []ref{r})
			require.NoError(t, err)
			require.Len(t, list, 1)
		}
		list, err := h.claim(context.Background(), id.New(), []ref{r})
		require.NoError(t, err)
		require.Empty(t, list)
	})
}

// Two processes on two machines never have quite the same time.
func TestAJobThatWasDueWhenItWasMadeIsDueForAClockThatIsBehind(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.accept()
		r := (<-h.publisher.queue).ref
		h.now = func() time.Time { return clock.System().Add(-time.Minute) }
		early, err := h.claim(context.Background(), id.New(), []ref{r})
		require.NoError(t, err)
		require.Len(t, early, 1)
		require.NoError(t, h.releaseJobs(context.Background(), []release{{claimed: early[0], delay: 10 * time.Second}}))
		early, err = h.claim(context.Background(), id.New(), []ref{r})
		require.NoError(t, err)
		require.Empty(t, early, "what was put off is not")
	})
}

// A claim that touched an index wrote seven entries for an event that goes straight through.
func TestAClaimTouchesNoIndex(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.Postgres(t)), Config{})
	h.destination(h.receiver.URL)
	var refs []ref
	for range 10 {
		h.accept()
		refs = append(refs, (<-h.publisher.queue).ref)
	}
	h.tx(func(ctx context.Context, tx *database.Tx) error {
		query, args := h.claimStatement(h.now())
		var jobs []job
		require.NoError(t, tx.SelectRows(ctx, &jobs, bidRows(bidsOf(id.New(), refs)), query, args...))
		require.Len(t, jobs, len(refs))
		var hot int
		require.NoError(t, tx.Get(ctx, &hot, `SELECT sum(pg_stat_get_xact_tuples_hot_updated(inhrelid)) FROM pg_inherits WHERE inhparent = 'processing_jobs'::regclass`))
		require.Equal(t, len(refs), hot)
		return nil
	})
}

// The relay looks at an unpublished job three seconds after its creation. One that runs by then is
// looked at again when its lease ends.
func TestALongAttemptIsLookedAtWhenItsLeaseEnds(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.accept()
		list, err := h.claim(t.Context(), id.New(), []ref{(<-h.publisher.queue).ref})
		require.NoError(t, err)
		require.Len(t, list, 1)
		h.exec(`UPDATE processing_jobs SET wake_at = $1`, h.now().Add(-time.Second))
		require.NoError(t, h.sweep(t.Context()))
		require.NoError(t, h.relay(t.Context()))
		require.EqualValues(t, 1, h.exec(`UPDATE processing_jobs SET parked = false WHERE status = 'running' AND wake_at = lease_until`))
		h.exec(`UPDATE processing_jobs SET lease_until = ` + h.db.Dialect.LeaseIn("-1000"))
		require.NoError(t, h.sweep(t.Context()))
		require.EqualValues(t, 1, h.exec(`UPDATE processing_jobs SET parked = false WHERE status = 'running'`), "its time has not come")
		h.exec(`UPDATE processing_jobs SET wake_at = lease_until`)
		require.NoError(t, h.sweep(t.Context()))
		require.EqualValues(t, 1, h.exec(`UPDATE processing_jobs SET parked = false WHERE status = 'queued' AND wake_at IS NOT NULL`))
	})
}

// A job that was marked as published has no time in the index until it is claimed.
func TestAClaimOfAPublishedJobIsLookedAtBeforeItsLeaseEnds(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.accept()
		a := <-h.publisher.queue
		h.publisher.publish(t.Context(), []announcement{a})
		h.publisher.mark(t.Context(), 0)
		require.EqualValues(t, 1, h.exec(`UPDATE processing_jobs SET parked = false WHERE wake_at IS NULL AND published_at IS NOT NULL`))
		list, err := h.claim(t.Context(), id.New(), []ref{a.ref})
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.EqualValues(t, 1, h.exec(`UPDATE processing_jobs SET parked = false WHERE wake_at <= lease_until AND published_at IS NULL`))
	})
}
