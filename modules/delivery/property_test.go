package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/broker"
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
}

// No order in which workers claim, die, come back late, messages come twice or get lost,
// leases run out and operators replay, loses a job or leaves one without end.
func TestNoInterleavingLosesOrWedgesAJob(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		rounds := 12
		for seed := range rounds {
			w := newWorld(t, db, uint64(seed))
			for range 80 {
				w.step()
			}
			w.settle()
			w.check()
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
	w := &world{harness: newHarness(t, db, Config{MaxAttempts: 2}), bag: &bag{}, chance: rand.New(rand.NewPCG(seed, 7))}
	w.Module.broker = w.bag
	w.trace = []string{fmt.Sprint("seed ", seed)}
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
		{"give back", w.giveOneBack},
		{"leases run out", w.expire},
		{"time passes", w.passTime},
		{"relay", w.relayAll},
		{"replay", w.replayOne},
	}
	s := steps[w.chance.IntN(len(steps))]
	w.trace = append(w.trace, s.name)
	s.do()
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
		// The lease may have run out meanwhile; then somebody else dispatches.
		_ = w.dispatch(context.Background(), c)
		return
	}
	d, err := w.directory.get(context.Background(), []string{*c.DestinationID})
	require.NoError(w.t, err)
	require.NoError(w.t, w.record([]outcome{{claimed: c, destination: d[*c.DestinationID], response: response{status: status}}}))
}

func (w *world) crash() { w.held = nil }

func (w *world) giveOneBack() {
	if c, ok := w.take(); ok {
		require.NoError(w.t, w.giveBack(context.Background(), []release{{claimed: c}}))
	}
}

func (w *world) expire() {
	w.exec(`UPDATE processing_jobs SET lease_until = ` + w.db.Dialect.LeaseIn("-1000") + ` WHERE status = 'running'`)
	require.NoError(w.t, w.sweep(context.Background()))
}

func (w *world) passTime() {
	at := w.now().Add(-time.Hour)
	w.exec(`UPDATE processing_jobs SET scheduled_at = $1 WHERE status = 'queued'`, at)
	w.exec(`UPDATE processing_jobs SET relay_at = $1 WHERE relay_at IS NOT NULL`, at)
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
