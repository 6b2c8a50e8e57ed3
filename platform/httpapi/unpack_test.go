package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/semaphore"

	"integration-gateway/platform/fault"
)

// Bodies of a few kilobytes that expand to megabytes occupied all processors, and ordinary
// compressed webhooks had to wait.
func TestSmallBodiesDoNotWaitForLargeOnes(t *testing.T) {
	const limit = 1 << 20
	queue := newUnpackQueue(unpacksAtOnce(2), 0)
	unpacking := queue.slots
	start := func(ctx context.Context, size int) ([]byte, error) {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, err := w.Write(bytes.Repeat([]byte("x"), size))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		r := httptest.NewRequest(http.MethodPost, "/", http.NoBody).WithContext(ctx)
		c := echo.New().NewContext(r, httptest.NewRecorder())
		l := &lease{bodies: newBudget(limit*8, 0), requests: semaphore.NewWeighted(1), unpacking: queue}
		defer l.release()
		c.Set(leaseKey, l)
		var produced int64
		body, err := Unpack(c, packed.Bytes(), func() int64 { return limit }, func(n int64, _ error) { produced = n })
		if err == nil {
			require.EqualValues(t, size, produced)
		}
		return body, err
	}
	for _, size := range []int{0, 1, smallBody - 1, smallBody, smallBody + 1, 3 * smallBody, limit} {
		body, err := start(t.Context(), size)
		require.NoError(t, err)
		require.Len(t, body, size)
		require.True(t, unpacking.TryAcquire(1), "its slot is released")
		unpacking.Release(1)
	}
	_, err := start(t.Context(), limit+1)
	require.ErrorContains(t, err, "larger than 1048576 bytes")

	require.True(t, unpacking.TryAcquire(1), "a large one is decompressed")
	require.False(t, unpacking.TryAcquire(1), "the only one at a time, of two processors")
	slowCtx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	body, err := start(slowCtx, smallBody-1)
	require.NoError(t, err)
	require.Len(t, body, smallBody-1)
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, err = start(gone, smallBody+1)
	require.ErrorIs(t, err, context.Canceled, "another large one waits for it")
	require.True(t, fault.Is(err, fault.Unavailable), "not a client error")
	unpacking.Release(1)
	require.Equal(t, []int64{1, 1, 1, 2, 4}, []int64{unpacksAtOnce(1), unpacksAtOnce(2), unpacksAtOnce(3), unpacksAtOnce(4), unpacksAtOnce(8)})
}

// Without a limit, every large body waits forever and occupies a request in progress.
func TestTheQueueOfLargeBodiesIsBounded(t *testing.T) {
	q := newUnpackQueue(1, 25)
	reason := func(network netip.Prefix) string {
		err := q.acquire(t.Context(), network)
		require.True(t, fault.Is(err, fault.Unavailable))
		require.Positive(t, fault.As(err).RetryAfter, "503 has Retry-After")
		return fault.As(err).Reason
	}
	network := func(i int) netip.Prefix { return clientNetwork(netip.AddrFrom4([4]byte{10, 0, byte(i), 1})) }
	require.NoError(t, q.acquire(t.Context(), network(1)), "there is a slot")
	q.wait = time.Millisecond
	require.Equal(t, "unpacking_slow", reason(network(1)), "the slot is not released in time")
	require.Zero(t, q.waiting)
	require.Empty(t, q.networks)

	q.wait = time.Hour
	for i := range maxUnpackWaiters {
		require.NoError(t, q.enter(network(i/(maxUnpackWaiters/4))), "a quarter for each network")
		if i == maxUnpackWaiters/4-1 {
			require.Equal(t, networkUnpacks, reason(network(0)), "and no more")
		}
	}
	require.Equal(t, "unpacks_waiting", reason(network(4)))
	q.leave(network(2))
	q.release(1)
	require.NoError(t, q.acquire(t.Context(), network(0)), "a free slot needs no place in the queue")
	require.Equal(t, maxUnpackWaiters, newUnpackQueue(1, 100).share)
	require.Equal(t, maxUnpackWaiters, newUnpackQueue(1, 0).share)
}

// While a body waits, its sender may use up its decompression allowance.
func TestTheLimitIsReadAgainAfterTheWait(t *testing.T) {
	q := newUnpackQueue(1, 0)
	require.NoError(t, q.acquire(t.Context(), netip.Prefix{}))
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(make([]byte, 8*smallBody))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	c := echo.New().NewContext(httptest.NewRequest(http.MethodPost, "/", http.NoBody), httptest.NewRecorder())
	c.Set(leaseKey, &lease{bodies: newBudget(1<<20, 0), requests: semaphore.NewWeighted(1), unpacking: q})
	asked, produced, failed := make(chan struct{}), make(chan int64, 1), make(chan error, 1)
	go func() {
		limits := []int64{8 * smallBody, 2 * smallBody}
		_, err := Unpack(c, packed.Bytes(), func() int64 {
			limit := limits[0]
			if limits = limits[1:]; len(limits) == 1 {
				close(asked)
			}
			return limit
		}, func(n int64, err error) {
			if err == nil || q.slots.TryAcquire(1) {
				t.Error("its slot is not free before it is accounted for")
			}
			produced <- n
		})
		failed <- err
	}()
	<-asked
	q.release(1)
	require.EqualValues(t, 2*smallBody, <-produced)
	require.ErrorContains(t, <-failed, "larger than 131072 bytes")
	require.True(t, q.slots.TryAcquire(1), "the slot is released")
}
