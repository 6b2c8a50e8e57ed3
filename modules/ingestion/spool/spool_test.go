package spool

import (
	"bytes"
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
	"integration-gateway/platform/keyring"
	"integration-gateway/platform/secret"
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
	return New(cfg, Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System, Broker: b, Digester: ring(t, "a-key-of-this-test"), Metrics: c}), c, b
}

// ring has keys, the current one first.
func ring(t *testing.T, keys ...string) *keyring.Ring {
	var cfg keyring.Config
	for i, key := range keys {
		if i == 0 {
			cfg.Current = secret.New(key)
			continue
		}
		cfg.Others = append(cfg.Others, secret.New(key))
	}
	r, err := keyring.New(cfg)
	require.NoError(t, err)
	return r
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
	require.NoError(t, s.Able(), "it says nothing about others")
	require.NoError(t, s.Put(t.Context(), webhook("small")))
	require.NoError(t, b.Close())
	require.True(t, fault.Is(s.Put(t.Context(), webhook("late")), fault.Unavailable))
	require.Equal(t, 2, count.of("refused"))
}

// full is a broker whose spool has reached its bound.
type full struct{ *broker.Memory }

func (full) Publish(context.Context, []broker.Message) []error {
	return []error{fault.Unavailable.New("nack", "The broker did not store the message.")}
}

// TestARefusalCountsForAWhile: a load balancer sends nothing to a process that is not ready, so a
// process that waited for the next webhook to succeed would never be ready again.
func TestARefusalCountsForAWhile(t *testing.T) {
	_, count, b := setup(t, Config{})
	at := clock.System()
	s := New(Config{}, Deps{Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return at }, Broker: full{b}, Digester: ring(t), Metrics: count})
	require.NoError(t, s.Able())
	require.Error(t, s.Put(t.Context(), webhook("a")))
	at = at.Add(retryAfter - time.Millisecond)
	require.ErrorContains(t, s.Able(), "did not take")
	at = at.Add(time.Millisecond)
	require.NoError(t, s.Able())
	require.Error(t, s.Put(t.Context(), webhook("b")))
	require.Error(t, s.Able())
	s.d.Broker = b
	require.NoError(t, s.Put(t.Context(), webhook("c")))
	require.NoError(t, s.Able(), "at once")
}

// TestAWebhookThatNobodyVerifiedIsNotStored: who can write to the broker has no key of the gateway's.
func TestAWebhookThatNobodyVerifiedIsNotStored(t *testing.T) {
	s, _, _ := setup(t, Config{})
	sent, err := s.encode(webhook("a"))
	require.NoError(t, err)
	read, err := s.decode(sent)
	require.NoError(t, err)
	require.Equal(t, "a", read.ID)
	changed := bytes.Replace(sent, []byte("acme:a"), []byte("acme:b"), 1)
	require.NotEqual(t, sent, changed)
	_, err = s.decode(changed)
	require.ErrorIs(t, err, errForged)
	for _, c := range []struct {
		sentence string
		writer   *keyring.Ring
		reader   *keyring.Ring
		want     error
	}{
		{"no key is not enough", ring(t), ring(t, "the-key"), errForged},
		{"nor is another key", ring(t, "another-key"), ring(t, "the-key"), errForged},
		{"the key before a rotation is", ring(t, "the-key"), ring(t, "the-next-key", "the-key"), nil},
		{"without keys everybody is trusted, as with secrets", ring(t), ring(t), nil},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			s.d.Digester = c.writer
			sent, err := s.encode(webhook("a"))
			require.NoError(t, err)
			s.d.Digester = c.reader
			_, err = s.decode(sent)
			require.ErrorIs(t, err, c.want)
		})
	}
}
