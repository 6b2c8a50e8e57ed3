package spool

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

const (
	waitFor = 20 * time.Second
	tick    = time.Millisecond
)

// counted counts webhooks by what became of them.
type counted struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counted) Spooled(outcome string, webhooks, _ int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[outcome] += webhooks
}

func (c *counted) of(outcome string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[outcome]
}

// records stands for the database.
type records struct {
	mu      sync.Mutex
	stored  []string
	refuses map[string]error
}

func (r *records) store(_ context.Context, webhooks []Webhook) (outcomes []string, errs []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range webhooks {
		err := r.refuses[w.ID]
		if err == nil {
			r.stored = append(r.stored, w.ID)
		}
		outcomes, errs = append(outcomes, Stored), append(errs, err)
	}
	return outcomes, errs
}

func (r *records) refuse(id string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuses[id] = err
}

func (r *records) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.stored...)
}

func setup(t *testing.T, cfg Config) (*Spool, *counted, *broker.Memory) {
	b, c := broker.NewMemory(clock.System, nil), &counted{n: map[string]int{}}
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return New(cfg, Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System, Broker: b, Metrics: c}), c, b
}

func webhook(id string) Webhook {
	return Webhook{ID: id, Source: "acme", IntegrationID: "i", ReceivedAt: clock.System(), Events: []Event{{ID: "e" + id, Key: "acme:" + id}}}
}

// run drains the spool until the test ends.
func run(t *testing.T, s *Spool, r *records) {
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx, r.store) }()
	t.Cleanup(func() { stop(); <-done })
}

func TestTheGate(t *testing.T) {
	for _, c := range []struct {
		sentence, events string // b a beat, m a missed one, f a failed commit
		away             bool
	}{
		{"the database is there at first", "", false},
		{"a failed commit alone may be about one row", "fff", false},
		{"a missed heartbeat alone may have been slow", "m", false},
		{"two in a row are an outage", "mm", true},
		{"two with one between them are none", "mbm", false},
		{"a missed heartbeat after a failed commit is an outage", "fm", true},
		{"so is a failed commit after a missed heartbeat", "mf", true},
		{"a heartbeat forgets failed commits", "fbm", false},
		{"a heartbeat ends the outage", "mmmb", false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			s, _, _ := setup(t, Config{})
			for _, e := range c.events {
				switch e {
				case 'f':
					s.Failed()
				default:
					s.Beat(e == 'b')
				}
			}
			require.Equal(t, c.away, s.Away())
		})
	}
	var off *Spool
	off.Beat(false)
	off.Beat(false)
	require.False(t, off.Away())
	require.True(t, off.Settled(t.Context()))
	require.Zero(t, off.Depth())
}

func TestWhatIsSpooledIsStoredInOrder(t *testing.T) {
	s, count, _ := setup(t, Config{Pause: tick, Look: tick})
	s.Beat(false)
	s.Beat(false)
	var want []string
	for i := range 100 {
		want = append(want, strconv.Itoa(i))
		require.NoError(t, s.Put(t.Context(), webhook(want[i])))
	}
	r := &records{refuses: map[string]error{"40": fault.Unavailable.New("database_unavailable", "It went away again.")}}
	run(t, s, r)
	require.Eventually(t, func() bool { return s.Depth().Waiting == 100 && s.Depth().Oldest > 0 }, waitFor, tick)
	require.False(t, s.Settled(t.Context()))
	require.Empty(t, r.all(), "nothing is tried while the database is away")
	s.Beat(true)
	require.Eventually(t, func() bool { return len(r.all()) >= 40 }, waitFor, tick)
	r.refuse("40", nil)
	require.Eventually(t, func() bool { return s.Depth().Waiting == 0 && count.of(Stored) >= 100 }, waitFor, tick)
	first := map[string]bool{}
	var order []string // of the first time that each was stored
	for _, id := range r.all() {
		if !first[id] {
			first[id] = true
			order = append(order, id)
		}
	}
	require.Len(t, order, 100)
	require.Equal(t, want[:40], order[:40])
	require.Zero(t, count.of("parked"))
	require.False(t, s.Settled(t.Context()), "another process may still store the last ones")
}

func TestWhatTheDatabaseRefusesIsParkedAndTriedAgain(t *testing.T) {
	s, count, b := setup(t, Config{Pause: tick, Look: tick, Again: 50 * time.Millisecond})
	r := &records{refuses: map[string]error{"bad": errors.New("violates a constraint"), "stuck": fault.Unavailable.New("x", "No partition.")}}
	require.NoError(t, errors.Join(b.Publish(t.Context(), []broker.Message{{Queue: broker.Spool, Body: []byte(`{"version":2}`)}, {Queue: broker.Spool, Body: []byte("x")}})...))
	for _, id := range []string{"stuck", "bad", "good"} {
		require.NoError(t, s.Put(t.Context(), webhook(id)))
	}
	run(t, s, r)
	require.Eventually(t, func() bool { return s.Depth().Parked == 4 && s.Depth().Waiting == 0 }, waitFor, tick, "two unreadable, one refused, one that fails for ever")
	require.Equal(t, "good", r.all()[0])
	require.GreaterOrEqual(t, count.of("parked"), 4)
	r.refuse("bad", nil)
	r.refuse("stuck", nil)
	require.Eventually(t, func() bool { return s.Depth().Parked == 2 }, waitFor, tick, "the others are never lost")
	require.Subset(t, r.all(), []string{"good", "bad", "stuck"})
}

func TestTheBoundsOfTheSpool(t *testing.T) {
	aged, _, _ := setup(t, Config{MaxAge: time.Hour})
	require.NoError(t, aged.Able())
	old := webhook("old")
	old.ReceivedAt = clock.System().Add(-2 * time.Hour)
	require.NoError(t, aged.Put(t.Context(), old))
	require.ErrorContains(t, aged.Able(), "too long")
	err := aged.Put(t.Context(), webhook("new"))
	require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
	s, count, b := setup(t, Config{})
	large := webhook("large")
	large.Body = make([]byte, maxMessage)
	err = s.Put(t.Context(), large)
	require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
	require.Error(t, s.Able())
	require.NoError(t, s.Put(t.Context(), webhook("small")))
	require.NoError(t, s.Able())
	require.NoError(t, b.Close())
	require.True(t, fault.Is(s.Put(t.Context(), webhook("late")), fault.Unavailable))
	require.Equal(t, 2, count.of("refused"))
}
