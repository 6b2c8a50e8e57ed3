package delivery

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/standardwebhooks"
	"integration-gateway/platform/testkit"
)

func TestAnEventIsDeliveredSignedOnce(t *testing.T) {
	eachHarness(t, func(h *harness) {
		destinationID := h.destination(h.receiver.URL + "/hook")
		stop := h.run()
		eventID := h.accept()
		state := h.becomes(eventID, contract.EventProcessed)
		stop()

		require.Equal(t, 1, state.ProcessingAttempts)
		require.Nil(t, state.LastError)
		require.NotNil(t, state.LastProcessedAt)
		attempts, jobs := h.history(eventID)
		require.Len(t, attempts, 1)
		require.Equal(t, "success", attempts[0].Status)
		require.Equal(t, 200, *attempts[0].HTTPStatus)
		require.Equal(t, destinationID, attempts[0].DestinationID)
		require.Len(t, jobs, 1)
		require.Equal(t, "succeeded", jobs[0].Status)
		require.NotNil(t, jobs[0].StartedAt)
		require.NotNil(t, jobs[0].CompletedAt)
		h.audited(eventID, "event.processed")
		depth, err := h.broker.Depth(context.Background(), broker.Process)
		require.NoError(t, err)
		require.Zero(t, depth, "the message is acknowledged")

		require.Equal(t, 1, h.receiver.count())
		got := h.receiver.got[0]
		require.Equal(t, http.MethodPost, got.Method)
		for name, want := range map[string]string{"Content-Type": "application/json", "X-Integration-Provider": "acme",
			"X-Event-Id": eventID, "X-Correlation-Id": "corr-" + eventID, "X-Idempotency-Key": "key-of-" + eventID, "Webhook-Id": eventID} {
			require.Equal(t, want, got.Header.Get(name), name)
		}
		require.Equal(t, string(h.events.payloads[eventID].Payload), string(h.receiver.bodies[0]))
		destinations, err := h.destinations.Get(context.Background(), []string{destinationID})
		require.NoError(t, err)
		at, err := time.ParseDuration(got.Header.Get("Webhook-Timestamp") + "s")
		require.NoError(t, err)
		require.Equal(t, standardwebhooks.Sign(destinations[destinationID].Secrets(clock.System()), eventID, time.Unix(int64(at.Seconds()), 0), h.receiver.bodies[0]),
			got.Header.Get("Webhook-Signature"))
	})
}

func TestAFailureIsTriedAgainWithTheSameIDUntilItSucceeds(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.receiver.answers(func(n int, w http.ResponseWriter, _ *http.Request) {
			if n < 3 {
				w.WriteHeader(503)
			}
		})
		h.run()
		eventID := h.accept()
		state := h.becomes(eventID, contract.EventProcessed)
		require.Equal(t, 3, state.ProcessingAttempts)
		attempts, jobs := h.history(eventID)
		require.Len(t, attempts, 3)
		require.Len(t, jobs, 3)
		for i := range attempts {
			require.Equal(t, i+1, attempts[i].AttemptNo)
			require.Equal(t, i+1, jobs[i].AttemptNo)
			require.Equal(t, eventID, h.receiver.got[i].Header.Get("Webhook-Id"))
		}
		require.Equal(t, contract.TriggerRetry, jobs[2].TriggeredBy)
		require.Equal(t, "ig.events.retry", jobs[2].QueueName)
		first, second := jobs[1].ScheduledAt.Sub(jobs[1].CreatedAt.Time), jobs[2].ScheduledAt.Sub(jobs[2].CreatedAt.Time)
		require.GreaterOrEqual(t, first, 20*time.Millisecond)
		require.GreaterOrEqual(t, second, 40*time.Millisecond)
		h.audited(eventID, "event.retry_scheduled", "event.retry_scheduled", "event.processed")
	})
}

func TestWhatEndsAnEventAsFailed(t *testing.T) {
	for _, c := range []struct {
		sentence string
		answer   func(n int, w http.ResponseWriter, r *http.Request)
		attempts int
		problem  string
	}{
		{"the budget of attempts is used up", status500, 3, "HTTP 500"},
		{"410 ends it at once", func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) }, 1, "HTTP 410"},
		{"a redirect is a failure and is not followed", func(_ int, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, 3, "redirects are not followed"},
		{"a connection that breaks is a failure", func(_ int, w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			_ = conn.Close()
		}, 3, "the connection was closed before a response"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			eachHarness(t, func(h *harness) {
				h.destination(h.receiver.URL)
				h.receiver.answers(c.answer)
				h.run()
				eventID := h.accept()
				state := h.becomes(eventID, contract.EventFailed)
				require.Contains(t, *state.LastError, c.problem)
				attempts, jobs := h.history(eventID)
				require.Len(t, attempts, c.attempts)
				require.Len(t, jobs, c.attempts)
				require.Equal(t, c.attempts, h.receiver.count())
				for _, j := range jobs {
					require.Equal(t, "failed", j.Status)
				}
				want := slices.Repeat([]string{"event.retry_scheduled"}, c.attempts-1)
				h.audited(eventID, append(want, "event.failed")...)
			})
		})
	}
}

func TestAnAnswerThatCannotBeStoredDoesNotKeepAnEventFromItsEnd(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.receiver.answers(func(_ int, w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("a\x00b\xff" + strings.Repeat("x", 1<<20)))
		})
		h.run()
		eventID := h.accept()
		h.becomes(eventID, contract.EventProcessed)
		attempts, _ := h.history(eventID)
		require.True(t, strings.HasPrefix(*attempts[0].ResponseBody, "a\uFFFDb\uFFFDxxx"))
		require.LessOrEqual(t, len(*attempts[0].ResponseBody), maxBodyBytes)
	})
}

func TestAMessageForAJobThatIsDoneSendsNothing(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.run()
		eventID := h.accept()
		h.becomes(eventID, contract.EventProcessed)
		_, jobs := h.history(eventID)
		r := newRef(eventID, jobs[0].ID)
		r.Destination = *jobs[0].DestinationID
		for range 3 {
			_, err := h.publisher.send(context.Background(), []announcement{{ref: r}, {ref: r}})
			require.NoError(t, err)
		}
		marker := h.accept()
		h.becomes(marker, contract.EventProcessed)
		require.Equal(t, 2, h.receiver.count())
	})
}

func TestWhatWasNotPublishedIsPublishedByTheRelay(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		eventID := h.accept()
		require.Len(t, h.publisher.queue, 1)
		<-h.publisher.queue // a crash between commit and publish
		h.exec(`UPDATE processing_jobs SET wake_at = $1`, h.now().Add(-time.Second))
		h.run()
		h.becomes(eventID, contract.EventProcessed)
		require.Equal(t, 1, h.receiver.count())
	})
}

func TestTheRelayLeavesABacklogThatIsPublishedAlone(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		for range 20 {
			h.accept()
		}
		ctx := context.Background()
		h.publisher.publish(ctx, h.publisher.gather(<-h.publisher.queue))
		h.publisher.mark(ctx, 0)
		before, err := h.broker.Depth(ctx, broker.Process)
		require.NoError(t, err)
		require.Equal(t, 1, before, "jobs that are due at once share a message")
		h.exec(`UPDATE processing_jobs SET published_at = $1, scheduled_at = $1`, h.now().Add(-24*time.Hour))
		for range 3 {
			require.NoError(t, h.relay(ctx))
			require.NoError(t, h.reconcile(ctx))
		}
		after, err := h.broker.Depth(ctx, broker.Process)
		require.NoError(t, err)
		require.Equal(t, before, after)
	})
}

// TestAClaimOfOneQueueSaysNothingAboutTheOther: a replay that is claimed at once does not make the
// process queue's backlog look lost.
func TestAClaimOfOneQueueSaysNothingAboutTheOther(t *testing.T) {
	var w watermarks
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	destinationID := "of a delivery"
	replay, delivery := claimed{}, claimed{job: job{DestinationID: &destinationID}}
	w.of(replay.queue()).raise(now, now, now)
	require.True(t, w.of(delivery.queue()).read().IsZero())
	w.of(delivery.queue()).raise(now.Add(-time.Hour), now.Add(-time.Hour), now)
	require.Equal(t, now.Add(-time.Hour), w.of(broker.Process).read())
	require.Equal(t, now, w.of(broker.Replay).read())
}

func TestWhatTheBrokerLostIsPublishedAgain(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		eventID := h.accept()
		<-h.publisher.queue
		long := h.now().Add(-time.Hour)
		h.exec(`UPDATE processing_jobs SET wake_at = NULL, published_at = $1, scheduled_at = $1`, long)
		counts := &counted{}
		h.metrics = counts
		require.NoError(t, h.reconcile(context.Background()), "the queue is empty, and the job has waited for long")
		require.Equal(t, int64(1), counts.messageLost.Load())
		h.run()
		h.becomes(eventID, contract.EventProcessed)
	})
}

// After each reconnect the replay queue is empty, as it mostly is. Every job that waited
// in the process queue was published once more then, and workers had to claim their way
// through the doubles before they came to new jobs.
func TestALostQueueHasItsOwnJobsPublishedAgainAlone(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.accept()
		ctx := context.Background()
		h.publisher.publish(ctx, h.publisher.gather(<-h.publisher.queue))
		h.publisher.mark(ctx, 0)
		counts := &counted{}
		h.metrics = counts
		for _, c := range []struct {
			lost  broker.Queue
			depth int
		}{{broker.Replay, 1}, {broker.Delayed, 1}, {broker.Process, 2}} {
			require.NoError(t, h.republishAll(ctx, c.lost, h.now()))
			require.NoError(t, h.relay(ctx))
			depth, err := h.broker.Depth(ctx, broker.Process)
			require.NoError(t, err)
			require.Equal(t, c.depth, depth, "after the %s queue was lost", c.lost)
		}
		require.Equal(t, int64(1), counts.queueLost.Load())
		require.Equal(t, int64(1), counts.unpublished.Load(), "and then by the relay")
	})
}

// Retries wait in queues that nobody consumes. Those that were lost with their queue were
// published again a minute after they were due.
func TestALostRetryIsPublishedAgainWhenItIsDue(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.accept()
		due := h.now().Add(time.Hour).Truncate(time.Microsecond)
		for _, queue := range []broker.Queue{broker.Process, broker.Delayed} {
			h.exec(`UPDATE processing_jobs SET wake_at = NULL, published_at = $1, scheduled_at = $2`, h.now().Add(-time.Second), due)
			require.NoError(t, h.republishAll(context.Background(), queue, h.now()))
			require.EqualValues(t, 1, h.exec(`UPDATE processing_jobs SET wake_at = $1 WHERE published_at IS NULL AND wake_at = $1`, due))
		}
	})
}

// lossy is a broker that tells of the losses that a test has it tell of.
type lossy struct {
	broker.Broker
	lost chan broker.Queue
}

func (l lossy) Lost() <-chan broker.Queue { return l.lost }

// The broker tells of a loss once. If the database was away then, what was lost came a minute late.
func TestALossIsMadeUpForOnceTheDatabaseIsBack(t *testing.T) {
	eachHarness(t, func(h *harness) {
		destinationID := h.destination(h.receiver.URL)
		event := h.accept()
		<-h.publisher.queue
		h.exec(`UPDATE processing_jobs SET wake_at = NULL, published_at = $1, scheduled_at = $1`, h.now())
		losses, said := make(chan broker.Queue), make(chan string, 1000)
		h.Module.broker = lossy{h.broker, losses}
		h.log = slog.New(slog.NewTextHandler(told(said), nil))
		h.exec(`ALTER TABLE processing_jobs RENAME TO away`)
		ctx, end := context.WithCancel(context.Background())
		var handling sync.WaitGroup
		handling.Go(func() { h.handleLostQueues(ctx) })
		defer func() { end(); handling.Wait() }()
		losses <- broker.Process
		for !strings.Contains(<-said, "publishing again failed") {
		}
		h.exec(`ALTER TABLE away RENAME TO processing_jobs`)
		h.eventually("the job to be published", func() bool {
			depth, err := h.broker.Depth(ctx, broker.Process)
			return err == nil && depth == 1
		})
		require.Equal(t, 1, h.jobsOf(event, destinationID, queued))
	})
}

// told is a log that is read by its lines.
type told chan string

func (c told) Write(line []byte) (int, error) {
	c <- string(line)
	return len(line), nil
}

// mute is a process whose peer fell silent, or not.
type mute struct {
	alone
	silent bool
}

// Silent is as it was set.
func (m mute) Silent() bool { return m.silent }

// A worker whose host fell silent holds messages that the broker takes back after up to
// fifteen seconds; every other message that it hands out until then goes the same way.
func TestASilentWorkersMessagesAreNotWaitedFor(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		eventID := h.accept()
		ctx := context.Background()
		h.publisher.publish(ctx, h.publisher.gather(<-h.publisher.queue))
		h.publisher.mark(ctx, 0)
		held := make(chan struct{})
		taken := sync.OnceFunc(func() { close(held) })
		silent, end := context.WithCancel(ctx)
		defer end()
		go func() { _ = h.broker.Consume(silent, broker.Process, prefetch, func(broker.Delivery) { taken() }) }()
		<-held
		w := &worker{m: h.Module, in: make(chan *inboundMessage, prefetch), quit: make(chan struct{})}
		h.exec(`UPDATE processing_jobs SET published_at = $1, scheduled_at = $1`, h.now().Add(-2*bypassAfter))
		require.Equal(t, bypassEvery, w.bypass(ctx, broker.Process))
		require.Empty(t, w.in, "nobody is silent")
		h.peers = mute{alone(id.New()), true}
		require.Equal(t, bypassPause, w.bypass(ctx, broker.Replay))
		require.Empty(t, w.in, "it is no replay")
		h.run()
		h.becomes(eventID, contract.EventProcessed)
	})
}

func TestAJobWhoseOwnerDiedIsDeliveredByAnother(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		eventID := h.accept()
		a := <-h.publisher.queue
		dead, err := h.claim(context.Background(), id.New(), []ref{a.ref})
		require.NoError(t, err)
		require.Len(t, dead, 1)
		again, err := h.claim(context.Background(), id.New(), []ref{a.ref})
		require.NoError(t, err)
		require.Empty(t, again, "a claimed job cannot be claimed")
		require.NoError(t, h.sweep(context.Background()))
		_, jobs := h.history(eventID)
		require.Equal(t, "running", jobs[0].Status, "a lease that runs is left alone")
		h.exec(`UPDATE processing_jobs SET (lease_until, wake_at) = (` + h.db.Dialect.LeaseIn("-1000") + `, ` + h.db.Dialect.LeaseIn("-1000") + `)`)
		h.run()
		h.becomes(eventID, contract.EventProcessed)
		require.Equal(t, 1, h.receiver.count())
	})
}

// A worker that was thought dead comes back with a success, or a failure.
func TestALateOwnerStillRecordsItsAttempt(t *testing.T) {
	for _, c := range []struct {
		sentence string
		status   int
		job      string
		event    contract.EventStatus
	}{
		{"a success ends the job that nobody claimed since", 200, "succeeded", contract.EventProcessed},
		{"a failure leaves the job to whoever comes next", 500, "queued", contract.EventPending},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			eachHarness(t, func(h *harness) {
				destinationID := h.destination(h.receiver.URL)
				eventID := h.accept()
				late, err := h.claim(context.Background(), id.New(), []ref{(<-h.publisher.queue).ref})
				require.NoError(t, err)
				h.exec(`UPDATE processing_jobs SET (lease_until, wake_at) = (` + h.db.Dialect.LeaseIn("-1000") + `, ` + h.db.Dialect.LeaseIn("-1000") + `)`)
				require.NoError(t, h.sweep(context.Background()))
				require.NoError(t, h.record([]attemptResult{{claimed: late[0], destination: &destination.Destination{ID: destinationID}, response: response{status: c.status}}}))
				attempts, jobs := h.history(eventID)
				require.Len(t, attempts, 1)
				require.Len(t, jobs, 1)
				require.Equal(t, c.job, jobs[0].Status)
				require.Equal(t, c.event, h.state(eventID).Status)
			})
		})
	}
}

// A commit that succeeds and whose answer is lost must not cost the job a whole lease.
func TestAClaimWhoseAnswerWasLostIsTakenBack(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		eventID := h.accept()
		r := (<-h.publisher.queue).ref
		lost := id.New()
		_, err := h.claim(context.Background(), lost, []ref{r})
		require.NoError(t, err)
		w := &worker{m: h.Module, unsure: []release{{claimed: claimed{job: r.job(), token: lost}}}}
		require.NoError(t, w.releaseUnsure(context.Background()))
		require.Empty(t, w.unsure)
		h.run()
		h.becomes(eventID, contract.EventProcessed)
		require.Equal(t, 1, h.receiver.count())
	})
}

// A worker that stops makes no further claim that would give them back.
func TestAStoppingWorkerGivesBackAClaimWhoseAnswerWasLost(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		eventID := h.accept()
		r := (<-h.publisher.queue).ref
		lost := id.New()
		_, err := h.claim(context.Background(), lost, []ref{r})
		require.NoError(t, err)
		life, end := context.WithCancel(context.Background())
		w := &worker{m: h.Module, life: life, scheduler: newScheduler(1, nil), unsure: []release{{claimed: claimed{job: r.job(), token: lost}}}}
		w.stop(end)
		end()
		h.run()
		h.becomes(eventID, contract.EventProcessed)
		require.Equal(t, 1, h.receiver.count())
	})
}

func TestADeactivatedDestinationOrIntegrationParksItsJobs(t *testing.T) {
	eachHarness(t, func(h *harness) {
		destinationID := h.destination(h.receiver.URL)
		h.run()
		h.exec(`UPDATE destinations SET is_active = false`)
		h.destinations.Changed(h.integration)
		first := h.accept()
		h.exec(`UPDATE destinations SET is_active = true`)
		h.destinations.Changed(h.integration)
		h.becomes(first, contract.EventProcessed)

		h.events.setActive(h.integration, false)
		second := h.accept()
		h.eventually("the job to be parked", func() bool {
			var parked bool
			require.NoError(t, h.db.Get(context.Background(), &parked, `SELECT parked FROM processing_jobs WHERE normalized_event_id = $1`, second))
			return parked
		})
		require.Equal(t, contract.EventPending, h.state(second).Status)
		attempts, _ := h.history(second)
		require.Empty(t, attempts)
		h.events.setActive(h.integration, true)
		h.becomes(second, contract.EventProcessed)
		require.Equal(t, 2, h.receiver.count())
		_ = destinationID
	})
}

func TestAMessageThatNobodyCanReadGoesToTheDeadQueue(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.run()
		for _, body := range []string{`{`, `{"v":2,"jobs":[]}`, `{"v":1,"jobs":[]}`, `{"v":1,"jobs":[{"e":"x","j":"y"}]}`} {
			for _, err := range h.broker.Publish(context.Background(), []broker.Message{{Queue: broker.Process, Body: []byte(body)}}) {
				require.NoError(t, err)
			}
		}
		h.eventually("four dead messages", func() bool {
			n, err := h.broker.Depth(context.Background(), broker.Dead)
			require.NoError(t, err)
			return n == 4
		})
	})
}

func TestStoppingGivesBackWhatIsNotAtItsEnd(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		h := newHarness(t, db, Config{Grace: 50 * time.Millisecond})
		h.destination(h.receiver.URL)
		began, release := make(chan struct{}, 1), make(chan struct{})
		var hang atomic.Bool
		hang.Store(true)
		h.receiver.answers(func(_ int, _ http.ResponseWriter, r *http.Request) {
			if hang.Load() {
				began <- struct{}{}
				select {
				case <-release:
				case <-r.Context().Done():
				}
			}
		})
		stop := h.run()
		eventID := h.accept()
		<-began
		stop()
		close(release)
		attempts, jobs := h.history(eventID)
		require.Empty(t, attempts, "work that was interrupted counts no attempt")
		require.Equal(t, "queued", jobs[0].Status)
		require.Equal(t, contract.EventPending, h.state(eventID).Status)

		hang.Store(false)
		h.exec(`UPDATE processing_jobs SET wake_at = $1`, h.now())
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- h.Work(ctx, []contract.Queue{contract.ProcessQueue}) }()
		require.NoError(t, h.relay(ctx))
		h.becomes(eventID, contract.EventProcessed)
		cancel()
		require.NoError(t, <-done)
	})
}

func TestAThousandEventsAreDeliveredOnceEach(t *testing.T) {
	eachHarness(t, func(h *harness) {
		h.destination(h.receiver.URL)
		h.run()
		ids := make([]string, 1000)
		for i := range ids {
			ids[i] = id.New()
			h.events.add(ids[i], h.integration)
		}
		for start := 0; start < len(ids); start += 100 {
			part := ids[start : start+100]
			h.tx(func(ctx context.Context, tx *database.Tx) error {
				var events []contract.NewEvent
				for _, eventID := range part {
					if err := h.events.insert(ctx, tx, eventID); err != nil {
						return err
					}
					events = append(events, contract.NewEvent{EventID: eventID, IntegrationID: h.integration, CorrelationID: "c"})
				}
				_, err := h.Schedule(ctx, tx, events)
				return err
			})
		}
		h.eventually("all to be processed", func() bool {
			var open int
			require.NoError(t, h.db.Get(context.Background(), &open, `SELECT count(*) FROM event_states WHERE status <> 'processed'`))
			return open == 0
		})
		require.Equal(t, 1000, h.receiver.count())
	})
}
