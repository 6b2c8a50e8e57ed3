package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// bag is a broker at its worst: it gives messages in any order, twice, or never.
type bag struct{ bodies [][]byte }

func (b *bag) Publish(_ context.Context, messages []broker.Message) []error {
	for _, m := range messages {
		b.bodies = append(b.bodies, m.Body)
	}
	return make([]error, len(messages))
}
func (*bag) Consume(context.Context, broker.Queue, int, func(broker.Delivery)) error { return nil }
func (*bag) Status() broker.Status                                                   { return broker.Status{} }
func (*bag) Ping(context.Context) error                                              { return nil }
func (b *bag) Depth(context.Context, broker.Queue) (int, error)                      { return len(b.bodies), nil }
func (*bag) Lost() <-chan broker.Queue                                               { return nil }
func (*bag) Close() error                                                            { return nil }

// world is the module, driven step by step by chance instead of its own loops.
type world struct {
	*harness
	bag      *bag
	chance   *rand.Rand
	events   []string
	requests []string
	held     []claimed // by workers that live
	trace    []string
	said     *testkit.Log // warnings and errors
}

// The variables that TestNoInterleavingLosesOrWedgesAJob heeds: one has it repeat a run, the
// other make so many with new seeds.
const (
	propertySeed   = "PROPERTY_SEED"
	propertyRounds = "PROPERTY_ROUNDS"
)

// seeds are the same in every ordinary run.
func seeds(t *testing.T) (list []uint64) {
	number := func(variable string) uint64 {
		n, err := strconv.ParseUint(os.Getenv(variable), 10, 64)
		require.NoError(t, err, variable)
		return n
	}
	switch {
	case os.Getenv(propertySeed) != "":
		return []uint64{number(propertySeed)}
	case os.Getenv(propertyRounds) != "":
		for range number(propertyRounds) {
			list = append(list, rand.Uint64())
		}
	default:
		for seed := range uint64(12) {
			list = append(list, seed)
		}
	}
	return list
}

// No order in which workers claim, die, come back late, messages come twice or get lost,
// leases run out and operators replay, loses a job or leaves one without end.
func TestNoInterleavingLosesOrWedgesAJob(t *testing.T) {
	all := seeds(t)
	eachStore(t, func(t *testing.T, db *database.DB) {
		for _, seed := range all {
			t.Run(fmt.Sprintf("%s=%d", propertySeed, seed), func(t *testing.T) {
				w := newWorld(t, db, seed)
				for range 80 {
					w.step()
				}
				w.settle()
				w.check()
			})
		}
	})
}

func newWorld(t *testing.T, db *database.DB, seed uint64) *world {
	ctx := context.Background()
	require.NoError(t, db.InTx(ctx, func(tx *database.Tx) error {
		for _, table := range []string{"delivery_attempts", "processing_jobs", "event_states", "destinations", "integrations"} {
			if _, err := tx.Exec(ctx, "DELETE FROM "+table); err != nil {
				return err
			}
		}
		return nil
	}))
	w := &world{harness: newHarness(t, db, Config{MaxAttempts: 2}), bag: &bag{}, chance: rand.New(rand.NewPCG(seed, 7)), said: &testkit.Log{}}
	w.Module.broker = w.bag
	w.log = slog.New(slog.NewTextHandler(w.said, nil))
	w.destination(w.receiver.URL + "/one")
	if seed%2 == 1 {
		w.destination(w.receiver.URL + "/two")
	}
	return w
}

func (w *world) step() {
	steps := []struct {
		name string
		do   func()
	}{
		{"accept", func() { w.events = append(w.events, w.accept()) }},
		{"publish", w.publish},
		{"lose announcements", w.loseAnnouncements},
		{"receive", func() { w.receive(w.chance.IntN(2) == 0) }},
		{"receive", func() { w.receive(true) }},
		{"lose a message", w.loseMessage},
		{"succeed", func() { w.finish(200) }},
		{"fail", func() { w.finish(500) }},
		{"crash", w.crash},
		{"give back", w.releaseOne},
		{"leases run out", w.expire},
		{"time passes", w.passTime},
		{"relay", w.relayAll},
		{"replay", w.replayOne},
	}
	s := steps[w.chance.IntN(len(steps))]
	w.trace = append(w.trace, s.name)
	s.do()
	w.checkTimers()
}

// checkTimers holds that every live job has something that will move it, no later than it must.
func (w *world) checkTimers() {
	var jobs []struct {
		due
		Status      status      `db:"status"`
		Parked      bool        `db:"parked"`
		WakeAt      *clock.Time `db:"wake_at"`
		PublishedAt *clock.Time `db:"published_at"`
		LeaseUntil  *clock.Time `db:"lease_until"`
		CompletedAt *clock.Time `db:"completed_at"`
	}
	require.NoError(w.t, w.db.Select(context.Background(), &jobs,
		`SELECT status, parked, created_at, scheduled_at, wake_at, published_at, lease_until, completed_at FROM processing_jobs`))
	for _, j := range jobs {
		switch {
		case j.CompletedAt != nil:
			require.True(w.t, j.WakeAt == nil && j.PublishedAt == nil && !j.Parked, "%+v: %v", j, w.trace)
		case j.Status == running:
			require.NotNil(w.t, j.WakeAt, "%v", w.trace)
			require.False(w.t, j.WakeAt.After(j.LeaseUntil.Time), "%+v: %v", j, w.trace)
		case j.WakeAt != nil:
			require.Nil(w.t, j.PublishedAt, "%v", w.trace)
			require.False(w.t, j.WakeAt.After(later(j.at().Time, w.db.Now()).Add(w.cfg.RelayGrace)), "%+v: %v", j, w.trace)
		default:
			require.True(w.t, j.Parked || j.PublishedAt != nil, "%+v: %v", j, w.trace)
		}
	}
}

func (w *world) publish() {
	if len(w.publisher.queue) > 0 {
		w.publisher.publish(context.Background(), w.publisher.gather(<-w.publisher.queue))
	}
	if w.chance.IntN(2) == 0 {
		w.publisher.mark(context.Background(), 0)
	}
}

func (w *world) loseAnnouncements() {
	for len(w.publisher.queue) > 0 {
		<-w.publisher.queue
	}
}

// receive claims what one message names; the message stays when it comes again later.
func (w *world) receive(last bool) {
	if len(w.bag.bodies) == 0 {
		return
	}
	i := w.chance.IntN(len(w.bag.bodies))
	refs, err := parse(w.bag.bodies[i])
	require.NoError(w.t, err)
	if last {
		w.bag.bodies = slices.Delete(w.bag.bodies, i, i+1)
	}
	jobs, err := w.claim(context.Background(), id.New(), refs)
	require.NoError(w.t, err)
	w.held = append(w.held, jobs...)
}

func (w *world) loseMessage() {
	if n := len(w.bag.bodies); n > 0 {
		w.bag.bodies = slices.Delete(w.bag.bodies, 0, 1+w.chance.IntN(n))
	}
}

func (w *world) take() (claimed, bool) {
	if len(w.held) == 0 {
		return claimed{}, false
	}
	i := w.chance.IntN(len(w.held))
	c := w.held[i]
	w.held = slices.Delete(w.held, i, i+1)
	return c, true
}

func (w *world) finish(status int) {
	c, ok := w.take()
	if !ok {
		return
	}
	if c.DestinationID == nil {
		var held int
		require.NoError(w.t, w.db.Get(context.Background(), &held, `SELECT count(*) FROM processing_jobs WHERE id = $1 AND claim_token = $2`, c.ID, c.token))
		if err := w.dispatchReplay(context.Background(), c); held > 0 {
			require.NoError(w.t, err, "%v", w.trace)
		} else if err != nil { // its lease ran out meanwhile, and somebody else dispatches
			require.ErrorContains(w.t, err, "expired", "%v", w.trace)
		}
		return
	}
	d, err := w.destinations.Get(context.Background(), []string{*c.DestinationID})
	require.NoError(w.t, err)
	require.NoError(w.t, w.record([]attemptResult{{claimed: c, destination: d[*c.DestinationID], response: response{status: status}}}))
}

func (w *world) crash() { w.held = nil }

func (w *world) releaseOne() {
	if c, ok := w.take(); ok {
		require.NoError(w.t, w.releaseJobs(context.Background(), []release{{claimed: c}}))
	}
}

func (w *world) expire() {
	w.exec(`UPDATE processing_jobs SET (lease_until, wake_at) = (` + w.db.Dialect.LeaseIn("-1000") + `, ` + w.db.Dialect.LeaseIn("-1000") + `) WHERE status = 'running'`)
	require.NoError(w.t, w.sweep(context.Background()))
}

func (w *world) passTime() {
	at := w.now().Add(-time.Hour)
	w.exec(`UPDATE processing_jobs SET scheduled_at = $1 WHERE status = 'queued'`, at)
	w.exec(`UPDATE processing_jobs SET wake_at = $1 WHERE wake_at IS NOT NULL`, at)
	w.exec(`UPDATE processing_jobs SET published_at = $1 WHERE status = 'queued' AND published_at IS NOT NULL`, at)
}

func (w *world) relayAll() {
	require.NoError(w.t, w.relay(context.Background()))
	require.NoError(w.t, w.reconcile(context.Background()))
}

func (w *world) replayOne() {
	if len(w.events) > 0 {
		w.requests = append(w.requests, w.replay(contract.ReplayOrder{EventID: w.events[w.chance.IntN(len(w.events))]}))
	}
}

// settle lets time pass with workers that live and destinations that answer.
func (w *world) settle() {
	for range 200 {
		w.crash()
		w.expire()
		w.passTime()
		w.relayAll()
		for len(w.bag.bodies) > 0 {
			w.receive(true)
		}
		for len(w.held) > 0 {
			w.finish(200)
		}
		var open int
		require.NoError(w.t, w.db.Get(context.Background(), &open, `SELECT count(*) FROM processing_jobs WHERE status IN ('queued', 'running')`))
		if open == 0 {
			return
		}
	}
	w.t.Fatalf("jobs never came to an end: %v", w.trace)
}

func (w *world) check() {
	require.NotContains(w.t, w.said.String(), "error=", "%v", w.trace)
	for _, eventID := range w.events {
		state := w.state(eventID)
		require.Contains(w.t, []contract.EventStatus{contract.EventProcessed, contract.EventFailed}, state.Status, "%v", w.trace)
		attempts, jobs := w.history(eventID)
		require.NotEmpty(w.t, jobs)
		numbers := map[string]int{}
		for _, a := range attempts {
			numbers[a.DestinationID]++
			require.Equal(w.t, numbers[a.DestinationID], a.AttemptNo, "%v", w.trace)
		}
		require.Equal(w.t, len(attempts), state.ProcessingAttempts)
	}
	for _, request := range w.requests {
		require.NotNil(w.t, w.replays.end(request), "replay %s has no end: %v", request, w.trace)
	}
}
