package delivery

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// ranked is one of several workers.
type ranked struct{ rank, workers int }

func (r ranked) Share() (rank, workers int) { return r.rank, r.workers }

func (ranked) Silent() bool { return false }

func (r ranked) Process() string { return fmt.Sprintf("01a21eb4-3a3a-755f-85a1-%012d", r.rank) }

// meter is a receiver that measures what is sent to it.
type meter struct {
	takes time.Duration
	mu    sync.Mutex
	now   int
	most  int
	began []time.Time
	done  int
}

func (m *meter) answer(_ int, _ http.ResponseWriter, r *http.Request) {
	began := clock.System()
	m.mu.Lock()
	m.now++
	m.most = max(m.most, m.now)
	m.began = append(m.began, began)
	m.mu.Unlock()
	timer := time.NewTimer(m.takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now--
	m.done++
}

func (m *meter) finished() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.done
}

// busiest is how many requests began within any three seconds, at most: long enough for a
// busy machine's lateness to weigh little.
func (m *meter) busiest() (most int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	slices.SortFunc(m.began, time.Time.Compare)
	first := 0
	for i, at := range m.began {
		for at.Sub(m.began[first]) >= 3*time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// dealt is a broker that deals messages out to its workers in turn, as RabbitMQ does; each
// consumes what it was dealt.
type dealt struct {
	*broker.Memory
	all  []*broker.Memory
	next *atomic.Int64
}

func (d dealt) Publish(ctx context.Context, messages []broker.Message) []error {
	errs := make([]error, len(messages))
	for i, msg := range messages {
		errs[i] = d.all[int(d.next.Add(1))%len(d.all)].Publish(ctx, []broker.Message{msg})[0]
	}
	return errs
}

// threeWorkers have one database, one broker and a cache each.
func threeWorkers(t *testing.T, caches func(i int) cache.Cache) *harness {
	db := testkit.Open(t, testkit.Postgres(t))
	first := newHarness(t, db, Config{})
	peers := make([]*harness, 3)
	queues := []*broker.Memory{broker.NewMemory(clock.System, nil), broker.NewMemory(clock.System, nil), broker.NewMemory(clock.System, nil)}
	next := &atomic.Int64{}
	for i := range peers {
		other := *first
		other.Module = New(tested(Config{}),
			Deps{DB: db, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: clock.System, Peers: ranked{i, 3},
				Broker: dealt{queues[i], queues, next}, Cache: caches(i), Events: first.events, Replays: first.replays, Auditor: first.audit, Sealer: rot{},
				Sender: egress.New(egress.Config{Allow: egress.Allow{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})})
		peers[i] = &other
	}
	peers[0].others = peers[1:]
	return peers[0]
}

func sharedRedis(t *testing.T) func(int) cache.Cache {
	url, prefix := testkit.Server(t, testkit.RedisVariable), "test-"+id.New()
	return func(int) cache.Cache {
		c, err := cache.NewRedis(cache.RedisConfig{URL: secret.New(url), OpTimeout: 5 * time.Second}, prefix, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

func noCache(*testing.T) func(int) cache.Cache {
	return func(int) cache.Cache { return cache.None{} }
}

func sharedMemory(*testing.T) func(int) cache.Cache {
	c := cache.NewMemory(0, clock.System)
	return func(int) cache.Cache { return c }
}

const fast = 20 * time.Millisecond

// A limit of a destination was each process's own, and a rate was forgotten whenever nothing
// waited.
func TestALimitHoldsForAllWorkersTogether(t *testing.T) {
	for _, c := range []struct {
		sentence          string
		caches            func(*testing.T) func(int) cache.Cache
		concurrency, rate int
		takes             time.Duration
		events            int
	}{
		{"a concurrency at a fast destination", sharedRedis, 3, 0, fast, 600},
		{"a concurrency at a slow destination", sharedRedis, 6, 0, time.Second, 60},
		{"a rate at a fast destination", sharedRedis, 0, 20, fast, 100},
		{"a rate at a slow destination", sharedRedis, 0, 20, time.Second, 100},
		{"a rate and a concurrency", sharedMemory, 2, 20, fast, 100},
		{"without the cache, a concurrency at a fast destination", noCache, 3, 0, fast, 600},
		{"without the cache, a concurrency at a slow destination", noCache, 6, 0, time.Second, 60},
		{"without the cache, a concurrency that does not divide", noCache, 4, 0, 200 * time.Millisecond, 160},
		{"without the cache, a rate at a fast destination", noCache, 0, 20, fast, 100},
		{"without the cache, a rate at a slow destination", noCache, 0, 20, time.Second, 100},
		{"without the cache, a rate below the number of workers", noCache, 0, 2, fast, 12},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			t.Parallel() // they mostly wait
			h := threeWorkers(t, c.caches(t))
			policy := contract.DestinationPolicy{}
			if c.concurrency > 0 {
				policy.Concurrency = &c.concurrency
			}
			if c.rate > 0 {
				policy.RatePerSecond = &c.rate
			}
			m := &meter{takes: c.takes}
			h.receiver.answers(m.answer)
			h.add(contract.DestinationConfig{URL: &h.receiver.URL, Policy: &policy})
			h.runAll()
			var senders sync.WaitGroup
			for i := range 4 { // faster than the limit, so that each worker has a backlog
				senders.Go(func() {
					for range c.events/4 + max(0, c.events%4-i) - max(0, c.events%4-i-1) {
						h.accept()
					}
				})
			}
			senders.Wait()
			h.eventually("all events to be sent", func() bool { return m.finished() >= c.events })
			require.Equal(t, c.events, m.finished(), "none is sent twice")
			// How closely a limit is used the scenario destination-limits measures, which has the machine
			// to itself: other tests run beside this one.
			if c.concurrency > 0 {
				require.LessOrEqual(t, m.most, c.concurrency)
				if c.takes != fast {
					require.Equal(t, c.concurrency, m.most, "all its slots are used")
				}
			}
			if c.rate > 0 {
				require.LessOrEqual(t, m.busiest(), 3*c.rate*11/10+c.rate/2+3, "each of three workers may be in the middle of its step")
			}
		})
	}
}

// runAll starts the relay and all workers.
func (h *harness) runAll() {
	h.run()
	for _, other := range h.others {
		other.run()
	}
}

// Asking whether the cache is back, for no destination, ended every worker that did.
func TestACacheThatIsDownIsTriedAgain(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.SQLite(t)), Config{})
	g := newGates(h.Module, make(chan struct{}))
	h.cache = cache.NewMemory(10, clock.System)
	g.down = true
	require.True(t, g.alone())
	g.round()
	require.False(t, g.alone())
}

// slowCache answers a question about limits when the test lets it.
type slowCache struct {
	cache.Cache
	asked, answers chan struct{}
}

func (c slowCache) Acquire(ctx context.Context, list []cache.Acquisition) ([]cache.Acquired, error) {
	close(c.asked)
	<-c.answers
	return c.Cache.Acquire(ctx, list)
}

// Destinations whose jobs waited for a cache that did not answer were taken for stuck.
func TestACacheThatHangsIsNoDestinationsFault(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.SQLite(t)), Config{})
	slow := slowCache{cache.NewMemory(10, clock.System), make(chan struct{}), make(chan struct{})}
	h.cache = slow
	g := newGates(h.Module, make(chan struct{}))
	require.False(t, g.hangs(h.now().Add(time.Hour)), "nothing was asked")
	g.probe = true
	answered := make(chan struct{})
	go func() { g.round(); close(answered) }()
	<-slow.asked
	require.False(t, g.hangs(g.since.Add(gatePatience/10)), "it may take that long")
	require.True(t, g.hangs(g.since.Add(gatePatience/10+1)))
	close(slow.answers)
	<-answered
	require.False(t, g.hangs(h.now().Add(time.Hour)), "it has answered")
}
