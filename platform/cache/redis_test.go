package cache_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// gate forwards to a Redis and can stop forwarding, like a hung server: it accepts
// connections and never answers.
type gate struct {
	net.Listener
	target string
	hung   atomic.Bool
	mu     sync.Mutex
	conns  []net.Conn
}

func newGate(t *testing.T, target string) *gate {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := &gate{Listener: listener, target: target}
	go g.serve()
	t.Cleanup(func() {
		_ = g.Close()
		g.cut()
	})
	return g
}

func (g *gate) serve() {
	for {
		conn, err := g.Accept()
		if err != nil {
			return
		}
		g.keep(conn)
		if g.hung.Load() {
			continue
		}
		server, err := net.Dial("tcp", g.target)
		if err != nil {
			_ = conn.Close()
			continue
		}
		g.keep(server)
		go func() { _, _ = io.Copy(server, conn) }()
		go g.answer(conn, server)
	}
}

func (g *gate) answer(conn, server net.Conn) {
	buffer := make([]byte, 4096)
	for {
		n, err := server.Read(buffer)
		if err != nil || g.hung.Load() {
			return
		}
		if _, err := conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (g *gate) keep(conn net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns = append(g.conns, conn)
}

func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, conn := range g.conns {
		_ = conn.Close()
	}
}

func TestHangingRedis(t *testing.T) {
	options, err := redis.ParseURL(testkit.Server(t, testkit.RedisVariable))
	require.NoError(t, err)
	g := newGate(t, options.Addr)
	log := &testkit.Log{}
	c, err := cache.NewRedis(cache.RedisConfig{URL: secret.New("redis://" + g.Addr().String())}, "test-"+id.New(), slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	ctx := context.Background()
	set := func() error { return c.Set(ctx, []cache.Item{{Key: "a", Value: "b", TTL: long}}) }
	require.NoError(t, c.Ping(ctx))
	require.Eventually(t, func() bool { return set() == nil }, waitTimeout, 10*time.Millisecond)
	before := log.String()

	g.hung.Store(true)
	start := clock.System()
	require.ErrorIs(t, set(), cache.ErrDown)
	first := clock.Now(clock.System).Since(start)
	require.GreaterOrEqual(t, first, 200*time.Millisecond, "the call itself waited for its deadline")
	require.Less(t, first, 5*time.Second, "but not much longer")
	start = clock.System()
	for range 100 {
		require.ErrorIs(t, set(), cache.ErrDown)
	}
	require.Less(t, clock.Now(clock.System).Since(start), 100*200*time.Millisecond/4, "the next calls do not wait at all")
	require.Error(t, c.Ping(ctx))

	g.hung.Store(false)
	g.cut()
	require.Eventually(t, func() bool { return set() == nil }, waitTimeout, 10*time.Millisecond, "it recovers by itself")
	said := strings.TrimPrefix(log.String(), before)
	require.Equal(t, 1, strings.Count(said, "not responding"), said)
	require.Equal(t, 1, strings.Count(said, "responding again"), said)
}

func TestRedisCallersWithShortDeadlines(t *testing.T) {
	options, err := redis.ParseURL(testkit.Server(t, testkit.RedisVariable))
	require.NoError(t, err)
	g := newGate(t, options.Addr)
	log := &testkit.Log{}
	c, err := cache.NewRedis(cache.RedisConfig{URL: secret.New("redis://" + g.Addr().String()), OpTimeout: waitTimeout}, "test-"+id.New(), slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.Ping(context.Background()))
	g.hung.Store(true)
	for _, says := range []int{0, 0, 1, 1} {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		require.ErrorIs(t, c.Set(ctx, []cache.Item{{Key: "a", TTL: short}}), cache.ErrDown)
		cancel()
		require.Equal(t, says, strings.Count(log.String(), "not responding"), "one slow answer is not an outage, three in a row are")
	}
}

func TestUnreachableRedis(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	require.NoError(t, listener.Close())
	c, err := cache.NewRedis(cache.RedisConfig{URL: secret.New("redis://" + addr)}, "test", slog.New(slog.DiscardHandler))
	require.NoError(t, err, "the gateway starts without it")
	t.Cleanup(func() { _ = c.Close() })
	ctx := context.Background()
	_, err = c.Claim(ctx, []cache.Claim{{Key: "a", TTL: long}})
	require.ErrorIs(t, err, cache.ErrDown)
	_, err = c.Count(ctx, []cache.Count{{Key: "a", Window: long}})
	require.ErrorIs(t, err, cache.ErrDown)
	require.ErrorIs(t, c.Release(ctx, []cache.Claim{{Key: "a"}}), cache.ErrDown)
	require.ErrorIs(t, c.Ping(ctx), cache.ErrDown)
}

func TestRedisCallerThatGivesUpIsNotAnOutage(t *testing.T) {
	c := openRedis(t, testkit.Server(t, testkit.RedisVariable))
	left, leave := context.WithCancel(context.Background())
	leave()
	err := c.Set(left, []cache.Item{{Key: "a", TTL: long}})
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, cache.ErrDown)
	require.NoError(t, c.Set(context.Background(), []cache.Item{{Key: "a", TTL: short}}))
}

func TestRedisSeparatesTheKeysOfTwoInstallations(t *testing.T) {
	url := testkit.Server(t, testkit.RedisVariable)
	one, other := openRedis(t, url), openRedis(t, url)
	require.True(t, claim(t, one, cache.Claim{Key: "same", TTL: time.Second})[0].Won)
	require.True(t, claim(t, other, cache.Claim{Key: "same", TTL: time.Second})[0].Won)
}

func TestInvalidRedisURL(t *testing.T) {
	for name, url := range map[string]string{
		"another scheme":             "http://:hunter2@localhost:6379",
		"not well-formed":            "redis://:hunter2@local host:6379/%zz",
		"an invalid port":            "redis://:hunter2@localhost:port",
		"an invalid database number": "redis://:hunter2@localhost:6379/first",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cache.NewRedis(cache.RedisConfig{URL: secret.New(url)}, "test", slog.New(slog.DiscardHandler))
			require.Error(t, err)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}
