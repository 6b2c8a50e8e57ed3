package cache_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cache"
)

func TestMemoryEvictsTheKeyThatWouldExpireFirst(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := cache.NewMemory(3, func() time.Time { return now })
	claim(t, c,
		cache.Claim{Key: "middle", TTL: 2 * time.Minute},
		cache.Claim{Key: "first", TTL: time.Minute},
		cache.Claim{Key: "last", TTL: 3 * time.Minute})
	require.Equal(t, []cache.Claimed{{}, {}, {}},
		claim(t, c, cache.Claim{Key: "first"}, cache.Claim{Key: "middle"}, cache.Claim{Key: "last"}), "as many as fit are kept")
	claim(t, c, cache.Claim{Key: "one more", TTL: time.Hour})
	require.Equal(t, []cache.Claimed{{}, {}, {}},
		claim(t, c, cache.Claim{Key: "middle"}, cache.Claim{Key: "last"}, cache.Claim{Key: "one more"}))
	require.True(t, claim(t, c, cache.Claim{Key: "first", TTL: time.Hour})[0].Won)
}

func TestMemoryExpiresExactlyOnTime(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := start
	c := cache.NewMemory(0, func() time.Time { return now })
	claim(t, c, cache.Claim{Key: "a", TTL: time.Minute})
	now = start.Add(time.Minute - time.Microsecond)
	require.False(t, claim(t, c, cache.Claim{Key: "a", TTL: time.Minute})[0].Won, "just before")
	now = start.Add(time.Minute)
	require.True(t, claim(t, c, cache.Claim{Key: "a", TTL: time.Minute})[0].Won, "at expiry")
}

func TestMemoryStaysBoundedUnderChurn(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := cache.NewMemory(100, func() time.Time { return now })
	for i := range 1000 {
		key := fmt.Sprint(i % 300)
		require.NoError(t, c.Set(context.Background(), []cache.Item{{Key: key, Value: key, TTL: time.Duration(i%7+1) * time.Minute}}))
		if i%3 == 0 {
			require.NoError(t, c.Release(context.Background(), []cache.Claim{{Key: key, Value: key}}))
		}
		now = now.Add(time.Second)
	}
	held := 0
	for i := range 300 {
		key := fmt.Sprint(i)
		if claim(t, c, cache.Claim{Key: key, Value: "absent", TTL: time.Millisecond})[0].Value == key {
			held++
		}
		now = now.Add(time.Millisecond)
	}
	require.Positive(t, held)
	require.LessOrEqual(t, held, 100)
}
