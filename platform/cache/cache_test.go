package cache_test

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// waitTimeout is how long a test waits for an expected event.
const waitTimeout = 5 * time.Second

// short is a lifetime that a test waits out, long one that it does not.
const (
	short = 30 * time.Millisecond
	long  = time.Minute
)

// drivers are the caches that must behave alike.
func drivers(t *testing.T, test func(t *testing.T, c cache.Cache)) {
	t.Run("memory", func(t *testing.T) { test(t, cache.NewMemory(0, clock.System)) })
	t.Run("redis", func(t *testing.T) { test(t, openRedis(t, testkit.Server(t, testkit.RedisVariable))) })
	t.Run("redis cluster", func(t *testing.T) { test(t, openRedis(t, "redis://"+strings.Join(testkit.RedisCluster(t), ","))) })
}

func openRedis(t *testing.T, url string) *cache.Redis {
	t.Helper()
	// A busy test machine is not an outage; the deadline has its own tests.
	c, err := cache.NewRedis(cache.RedisConfig{URL: secret.New(url), OpTimeout: waitTimeout}, "test-"+id.New(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func claim(t *testing.T, c cache.Cache, claims ...cache.Claim) []cache.Claimed {
	t.Helper()
	claimed, err := c.Claim(context.Background(), claims)
	require.NoError(t, err)
	return claimed
}

func TestClaim(t *testing.T) {
	drivers(t, func(t *testing.T, c cache.Cache) {
		ctx := context.Background()
		won := []cache.Claimed{{Won: true}}
		t.Run("the first wins, the second learns the value", func(t *testing.T) {
			require.Equal(t, won, claim(t, c, cache.Claim{Key: "a", Value: "first", TTL: long}))
			require.Equal(t, []cache.Claimed{{Value: "first"}}, claim(t, c, cache.Claim{Key: "a", Value: "second", TTL: long}))
		})
		t.Run("an empty value is a value", func(t *testing.T) {
			require.Equal(t, won, claim(t, c, cache.Claim{Key: "empty", TTL: long}))
			require.Equal(t, []cache.Claimed{{}}, claim(t, c, cache.Claim{Key: "empty", TTL: long}))
		})
		t.Run("many are answered in order, a repeat within the call loses", func(t *testing.T) {
			require.Equal(t,
				[]cache.Claimed{{Won: true}, {Value: "first"}, {Won: true}, {Value: "x"}},
				claim(t, c, cache.Claim{Key: "m1", Value: "x", TTL: long}, cache.Claim{Key: "a", Value: "y", TTL: long},
					cache.Claim{Key: "m2", Value: "z", TTL: long}, cache.Claim{Key: "m1", Value: "w", TTL: long}))
		})
		t.Run("a value set later is the one that losers learn", func(t *testing.T) {
			require.NoError(t, c.Set(ctx, []cache.Item{{Key: "a", Value: "ids", TTL: long}, {Key: "fresh", Value: "1", TTL: long}}))
			require.Equal(t, []cache.Claimed{{Value: "ids"}, {Value: "1"}},
				claim(t, c, cache.Claim{Key: "a", TTL: long}, cache.Claim{Key: "fresh", TTL: long}))
		})
		t.Run("a claim that expired can be won again", func(t *testing.T) {
			require.Equal(t, won, claim(t, c, cache.Claim{Key: "brief", Value: "old", TTL: short}))
			require.Eventually(t, func() bool {
				return claim(t, c, cache.Claim{Key: "brief", Value: "new", TTL: long})[0].Won
			}, waitTimeout, time.Millisecond)
		})
		t.Run("a set value expires", func(t *testing.T) {
			require.NoError(t, c.Set(ctx, []cache.Item{{Key: "brief item", Value: "v", TTL: short}}))
			require.Eventually(t, func() bool {
				return claim(t, c, cache.Claim{Key: "brief item", TTL: long})[0].Won
			}, waitTimeout, time.Millisecond)
		})
		t.Run("a zero lifetime is the shortest, not infinite", func(t *testing.T) {
			require.Equal(t, won, claim(t, c, cache.Claim{Key: "none", Value: "old"}))
			require.Eventually(t, func() bool {
				return claim(t, c, cache.Claim{Key: "none", TTL: long})[0].Won
			}, waitTimeout, time.Millisecond)
		})
		t.Run("bytes that are not text are preserved", func(t *testing.T) {
			key, value := "\x00\xff\r\n", "\r\n\x00\xfe$5"
			claim(t, c, cache.Claim{Key: key, Value: value, TTL: long})
			require.Equal(t, value, claim(t, c, cache.Claim{Key: key, TTL: long})[0].Value)
		})
	})
}

func TestConcurrentClaimsHaveOneWinner(t *testing.T) {
	drivers(t, func(t *testing.T, c cache.Cache) {
		var wg sync.WaitGroup
		wins := make(chan struct{}, 50)
		for range cap(wins) {
			wg.Go(func() {
				claimed, err := c.Claim(context.Background(), []cache.Claim{{Key: "one", Value: "v", TTL: long}})
				if err == nil && claimed[0].Won {
					wins <- struct{}{}
				}
			})
		}
		wg.Wait()
		require.Len(t, wins, 1)
	})
}

func TestRelease(t *testing.T) {
	drivers(t, func(t *testing.T, c cache.Cache) {
		ctx := context.Background()
		mine := []cache.Claim{{Key: "l1", Value: "me", TTL: long}, {Key: "l2", Value: "me", TTL: long}}
		other := []cache.Claim{{Key: "l1", Value: "other", TTL: long}, {Key: "l2", Value: "me", TTL: long}}
		claim(t, c, mine...)
		t.Run("a key that another holder has stays, the others of the call are released", func(t *testing.T) {
			require.NoError(t, c.Release(ctx, other))
			require.Equal(t, []cache.Claimed{{Value: "me"}, {Won: true}}, claim(t, c, mine...))
		})
		t.Run("the owner releases all of its keys", func(t *testing.T) {
			require.NoError(t, c.Release(ctx, mine))
			require.Equal(t, []cache.Claimed{{Won: true}, {Won: true}}, claim(t, c, other...))
		})
		t.Run("a missing key is not an error", func(t *testing.T) {
			require.NoError(t, c.Release(ctx, []cache.Claim{{Key: "never", Value: "me"}}))
		})
	})
}

func TestCount(t *testing.T) {
	drivers(t, func(t *testing.T, c cache.Cache) {
		count := func(counts ...cache.Count) []cache.Counted {
			counted, err := c.Count(context.Background(), counts)
			require.NoError(t, err)
			return counted
		}
		t.Run("each occurrence counts, within a call too", func(t *testing.T) {
			got := count(cache.Count{Key: "a", Window: long}, cache.Count{Key: "b", Window: long}, cache.Count{Key: "a", Window: long})
			require.Equal(t, []int64{1, 1, 2}, []int64{got[0].N, got[1].N, got[2].N})
			require.EqualValues(t, 3, count(cache.Count{Key: "a", Window: long})[0].N)
		})
		t.Run("the window starts with the first occurrence", func(t *testing.T) {
			first := count(cache.Count{Key: "w", Window: long})[0]
			require.LessOrEqual(t, first.Reset, long)
			require.Greater(t, first.Reset, long-waitTimeout)
			later := count(cache.Count{Key: "w", Window: 2 * long})[0]
			require.LessOrEqual(t, later.Reset, first.Reset)
		})
		t.Run("after the window the count starts at one again", func(t *testing.T) {
			require.EqualValues(t, 1, count(cache.Count{Key: "s", Window: short})[0].N)
			require.Eventually(t, func() bool {
				return count(cache.Count{Key: "s", Window: short})[0].N == 1
			}, waitTimeout, time.Millisecond)
		})
	})
}

func acquire(t *testing.T, c cache.Cache, list ...cache.Acquisition) []cache.Acquired {
	t.Helper()
	acquired, err := c.Acquire(context.Background(), list)
	require.NoError(t, err)
	require.Len(t, acquired, len(list))
	return acquired
}

func granted(list []cache.Acquired) (numbers []int) {
	for _, a := range list {
		numbers = append(numbers, a.N)
	}
	return numbers
}

func TestAcquire(t *testing.T) {
	drivers(t, func(t *testing.T, c cache.Cache) {
		held := func(key string, most int) []cache.Limit {
			return []cache.Limit{{Key: key, Max: most, TTL: long, Held: true}}
		}
		ask := func(limits []cache.Limit, holders ...string) cache.Acquisition {
			return cache.Acquisition{Limits: limits, Holders: holders}
		}
		t.Run("the first holders get the available slots", func(t *testing.T) {
			got := acquire(t, c, ask(held("a", 2), "1", "2", "3"))[0]
			require.Equal(t, 2, got.N)
			require.LessOrEqual(t, got.Wait, long)
			require.Greater(t, got.Wait, long-waitTimeout)
			require.Equal(t, []int{0}, granted(acquire(t, c, ask(held("a", 2), "3"))))
		})
		t.Run("a holder with a slot keeps it and needs no other", func(t *testing.T) {
			require.Equal(t, []int{2}, granted(acquire(t, c, ask(held("a", 2), "2", "1", "3"))))
		})
		t.Run("a released slot goes to the next holder, in one step", func(t *testing.T) {
			got := acquire(t, c, cache.Acquisition{Limits: held("a", 2), Release: []string{"1", "never"}, Holders: []string{"3"}})
			require.Equal(t, []cache.Acquired{{N: 1}}, got)
			require.Equal(t, []int{0}, granted(acquire(t, c, ask(held("a", 2), "4"))))
		})
		t.Run("limits of other keys are independent", func(t *testing.T) {
			require.Equal(t, []int{1, 0, 2}, granted(acquire(t, c, ask(held("b", 1), "1"), ask(held("b", 1), "2"), ask(held("c", 2), "1", "2"))))
		})
		t.Run("a slot under each limit, or none", func(t *testing.T) {
			both := append(held("d", 1), cache.Limit{Key: "e", Max: 5, TTL: long})
			require.Equal(t, []int{1}, granted(acquire(t, c, ask(both, "1", "2", "3"))))
			require.Equal(t, []int{4}, granted(acquire(t, c, ask(both[1:], "4", "5", "6", "7", "8"))), "holders without a slot took none")
		})
		t.Run("a slot that is not held stays when its holder releases", func(t *testing.T) {
			rate := []cache.Limit{{Key: "f", Max: 1, TTL: long}}
			require.Equal(t, []int{1}, granted(acquire(t, c, ask(rate, "1"))))
			require.Equal(t, []int{0}, granted(acquire(t, c, cache.Acquisition{Limits: rate, Release: []string{"1"}, Holders: []string{"2"}})))
		})
		t.Run("a slot that is not released expires", func(t *testing.T) {
			brief := []cache.Limit{{Key: "g", Max: 1, TTL: short, Held: true}}
			require.Equal(t, []int{1}, granted(acquire(t, c, ask(brief, "dead"))))
			require.Eventually(t, func() bool { return acquire(t, c, ask(held("g", 1), "next"))[0].N == 1 }, waitTimeout, time.Millisecond)
		})
		t.Run("a lowered limit grants no slot until it is met", func(t *testing.T) {
			require.Equal(t, []int{3}, granted(acquire(t, c, ask(held("h", 3), "1", "2", "3"))))
			require.Equal(t, []int{0}, granted(acquire(t, c, cache.Acquisition{Limits: held("h", 2), Release: []string{"1"}, Holders: []string{"4"}})))
			require.Equal(t, []int{1}, granted(acquire(t, c, cache.Acquisition{Limits: held("h", 2), Release: []string{"2"}, Holders: []string{"4"}})))
		})
		t.Run("concurrent callers never exceed the limit", func(t *testing.T) {
			var wg sync.WaitGroup
			var places atomic.Int64
			for i := range 20 {
				wg.Go(func() {
					got, err := c.Acquire(context.Background(), []cache.Acquisition{ask(held("many", 7), "a"+strconv.Itoa(i), "b"+strconv.Itoa(i))})
					if err == nil {
						places.Add(int64(got[0].N))
					}
				})
			}
			wg.Wait()
			require.EqualValues(t, 7, places.Load())
		})
	})
}

func TestEmptyCallsDoNothing(t *testing.T) {
	drivers(t, func(t *testing.T, c cache.Cache) {
		ctx := context.Background()
		claimed, err := c.Claim(ctx, nil)
		require.NoError(t, err)
		require.Empty(t, claimed)
		counted, err := c.Count(ctx, nil)
		require.NoError(t, err)
		require.Empty(t, counted)
		require.Empty(t, acquire(t, c))
		require.Equal(t, []cache.Acquired{{}}, acquire(t, c, cache.Acquisition{}))
		require.NoError(t, c.Set(ctx, nil))
		require.NoError(t, c.Release(ctx, nil))
		require.NoError(t, c.Ping(ctx))
	})
}

func TestNone(t *testing.T) {
	ctx := context.Background()
	var c cache.Cache = cache.None{}
	_, err := c.Claim(ctx, []cache.Claim{{Key: "a", TTL: long}})
	require.ErrorIs(t, err, cache.ErrDown)
	_, err = c.Count(ctx, []cache.Count{{Key: "a", Window: long}})
	require.ErrorIs(t, err, cache.ErrDown)
	_, err = c.Acquire(ctx, []cache.Acquisition{{}})
	require.ErrorIs(t, err, cache.ErrDown)
	require.ErrorIs(t, c.Set(ctx, []cache.Item{{Key: "a", TTL: long}}), cache.ErrDown)
	require.ErrorIs(t, c.Release(ctx, []cache.Claim{{Key: "a"}}), cache.ErrDown)
	require.NoError(t, c.Ping(ctx), "nothing that was configured is missing")
	require.NoError(t, c.Close())
}
