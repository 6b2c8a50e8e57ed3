package cache_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// patience is how long a test waits for what must come.
const patience = 5 * time.Second

// short is a lifetime that a test outwaits, long one that it does not.
const (
	short = 30 * time.Millisecond
	long  = time.Minute
)

// drivers are the caches that must behave alike.
func drivers(t *testing.T, test func(t *testing.T, c cache.Cache)) {
	t.Run("memory", func(t *testing.T) { test(t, cache.NewMemory(0, clock.System)) })
	t.Run("redis", func(t *testing.T) { test(t, openRedis(t, testkit.Server(t, testkit.RedisVariable))) })
}

func openRedis(t *testing.T, url string) *cache.Redis {
	t.Helper()
	// A busy test machine is no outage; the deadline has tests of its own.
	c, err := cache.NewRedis(cache.RedisConfig{URL: secret.New(url), OpTimeout: patience}, "test-"+id.New(), slog.New(slog.DiscardHandler))
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
		t.Run("many are answered in their order, a repeat within the call loses", func(t *testing.T) {
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
			}, patience, time.Millisecond)
		})
		t.Run("a set value expires", func(t *testing.T) {
			require.NoError(t, c.Set(ctx, []cache.Item{{Key: "brief item", Value: "v", TTL: short}}))
			require.Eventually(t, func() bool {
				return claim(t, c, cache.Claim{Key: "brief item", TTL: long})[0].Won
			}, patience, time.Millisecond)
		})
		t.Run("no lifetime is the shortest, not for ever", func(t *testing.T) {
			require.Equal(t, won, claim(t, c, cache.Claim{Key: "none", Value: "old"}))
			require.Eventually(t, func() bool {
				return claim(t, c, cache.Claim{Key: "none", TTL: long})[0].Won
			}, patience, time.Millisecond)
		})
		t.Run("bytes that are no text come back", func(t *testing.T) {
			key, value := "\x00\xff\r\n", "\r\n\x00\xfe$5"
			claim(t, c, cache.Claim{Key: key, Value: value, TTL: long})
			require.Equal(t, value, claim(t, c, cache.Claim{Key: key, TTL: long})[0].Value)
		})
	})
}

func TestClaimOfManyAtOnceHasOneWinner(t *testing.T) {
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
		t.Run("a key that somebody else holds stays, the others of the call go", func(t *testing.T) {
			require.NoError(t, c.Release(ctx, other))
			require.Equal(t, []cache.Claimed{{Value: "me"}, {Won: true}}, claim(t, c, mine...))
		})
		t.Run("the owner releases all of its keys", func(t *testing.T) {
			require.NoError(t, c.Release(ctx, mine))
			require.Equal(t, []cache.Claimed{{Won: true}, {Won: true}}, claim(t, c, other...))
		})
		t.Run("a key that is gone is no error", func(t *testing.T) {
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
		t.Run("the window is the first occurrence's, and runs", func(t *testing.T) {
			first := count(cache.Count{Key: "w", Window: long})[0]
			require.LessOrEqual(t, first.Reset, long)
			require.Greater(t, first.Reset, long-patience)
			later := count(cache.Count{Key: "w", Window: 2 * long})[0]
			require.LessOrEqual(t, later.Reset, first.Reset)
		})
		t.Run("after the window it starts at one, however often it was counted", func(t *testing.T) {
			require.EqualValues(t, 1, count(cache.Count{Key: "s", Window: short})[0].N)
			require.Eventually(t, func() bool {
				return count(cache.Count{Key: "s", Window: short})[0].N == 1
			}, patience, time.Millisecond)
		})
	})
}

func TestNothingAskedIsNothingDone(t *testing.T) {
	drivers(t, func(t *testing.T, c cache.Cache) {
		ctx := context.Background()
		claimed, err := c.Claim(ctx, nil)
		require.NoError(t, err)
		require.Empty(t, claimed)
		counted, err := c.Count(ctx, nil)
		require.NoError(t, err)
		require.Empty(t, counted)
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
	require.ErrorIs(t, c.Set(ctx, []cache.Item{{Key: "a", TTL: long}}), cache.ErrDown)
	require.ErrorIs(t, c.Release(ctx, []cache.Claim{{Key: "a"}}), cache.ErrDown)
	require.NoError(t, c.Ping(ctx), "nothing is missing that was asked for")
	require.NoError(t, c.Close())
}
