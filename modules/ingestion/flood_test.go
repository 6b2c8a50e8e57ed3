package ingestion

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/database"
)

// counting counts how often it is asked to count.
type counting struct {
	cache.Cache
	asked atomic.Int64
}

func (c *counting) Count(ctx context.Context, counts []cache.Count) ([]cache.Counted, error) {
	c.asked.Add(1)
	return c.Cache.Count(ctx, counts)
}

// TestAFloodOfBadSignaturesDoesNotAffectOtherSenders: beyond its limit an address is answered without
// the cache or the database, what is kept of it is bounded, and good requests of the same
// address are accepted all along.
func TestAFloodOfBadSignaturesDoesNotAffectOtherSenders(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		const limit, flood = 100, 1000
		now, asks := newFakeClock(), &counting{}
		g := setup(t, db, func(c *Config, d *Deps) {
			asks.Cache = cache.NewMemory(0, now.now)
			c.FailureLimitPerMinute, c.RateLimitPerMinute, d.Cache, d.Now = limit, 0, asks, now.now
		})
		refused := func(address string) answer {
			r := acmeRequest(acmeBody("bad"), "X-Acme-Signature", "00")
			r.RemoteAddr = address
			return g.do(r)
		}
		statuses := map[int]int{}
		for i := range flood {
			statuses[refused("192.0.2.1:9").Status]++
			if i%100 == 0 {
				require.Equal(t, http.StatusAccepted, g.do(acmeRequest(acmeBody(fmt.Sprint("good-", i)))).Status)
			}
		}
		require.Equal(t, map[int]int{http.StatusUnauthorized: limit, http.StatusTooManyRequests: flood - limit}, statuses)
		require.EqualValues(t, limit+1, asks.asked.Load(), "beyond the limit nobody is asked")
		require.Len(t, g.audit.take(), flood, "each is counted")
		q := g.kept()
		require.Len(t, q, 1, "the same again and again is counted")
		require.EqualValues(t, flood-1, q[0].Repeats)
		require.Equal(t, 10, g.stored())

		now.pass(59 * time.Second)
		require.Equal(t, "1", refused("192.0.2.1:9").Header.Get("Retry-After"))
		now.pass(time.Second)
		require.Equal(t, http.StatusUnauthorized, refused("192.0.2.1:9").Status, "a new minute")

		for i := range limit {
			require.Equal(t, http.StatusUnauthorized, refused(fmt.Sprintf("[2001:db8::%x]:9", i+1)).Status)
		}
		require.Equal(t, http.StatusTooManyRequests, refused("[2001:db8::ffff:0:0:1]:9").Status, "one network has one limit")
	})
}

func TestTheNumberOfBlockedClientsIsBounded(t *testing.T) {
	now := newFakeClock()
	var b blockedClients
	for i := range maxBlocked + 1 {
		b.add(fmt.Sprint(i), now.now(), time.Minute)
	}
	require.Equal(t, maxBlocked, len(b.until))
	require.Equal(t, time.Minute, b.wait("0", now.now()))
	require.Zero(t, b.wait(fmt.Sprint(maxBlocked), now.now()), "there is no room: it is counted each time")
	now.pass(time.Minute)
	b.add("new", now.now(), time.Minute)
	require.Len(t, b.until, 1, "those whose minute is over make room")
	now.pass(time.Minute)
	require.Zero(t, b.wait("new", now.now()))
}
