package httpapi

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"integration-gateway/platform/fault"
)

// Limits of the queue of large gzip bodies: its length and the longest wait.
const (
	maxUnpackWaiters = 256
	maxUnpackWait    = 5 * time.Second
)

// networkUnpacks is the reason for refusing a client network that has used up its share of the
// queue.
const networkUnpacks = "network_unpacks_waiting"

// unpackQueue limits how many large gzip bodies are decompressed at once. The others wait
// briefly. Each client network may hold only its share of the queue.
type unpackQueue struct {
	slots *semaphore.Weighted
	share int // queue places for one client network
	wait  time.Duration

	mu       sync.Mutex
	waiting  int
	networks map[netip.Prefix]int
}

func newUnpackQueue(slots int64, percent int) *unpackQueue {
	q := &unpackQueue{slots: semaphore.NewWeighted(slots), share: maxUnpackWaiters, wait: maxUnpackWait, networks: map[netip.Prefix]int{}}
	if percent > 0 {
		q.share = maxUnpackWaiters * percent / 100
	}
	return q
}

// acquire takes a slot, which the caller releases.
func (q *unpackQueue) acquire(ctx context.Context, network netip.Prefix) error {
	if ctx.Err() == nil && q.slots.TryAcquire(1) {
		return nil
	}
	if err := q.enter(network); err != nil {
		return err
	}
	defer q.leave(network)
	waitCtx, cancel := context.WithTimeout(ctx, q.wait)
	defer cancel()
	err := q.slots.Acquire(waitCtx, 1)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fault.Unavailable.Wrap(err, "caller_gone", "The client disconnected before the response.").After(time.Second)
	}
	return fault.Unavailable.Wrap(err, "unpacking_slow", "Other compressed bodies took too long to be decompressed.").After(q.wait)
}

func (q *unpackQueue) enter(network netip.Prefix) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.waiting >= maxUnpackWaiters:
		return fault.Unavailable.New("unpacks_waiting", "Too many compressed bodies are waiting to be decompressed.").After(time.Second)
	case q.networks[network] >= q.share:
		return fault.Unavailable.New(networkUnpacks, "Too many compressed bodies from this network are waiting to be decompressed.").After(time.Second)
	}
	q.waiting++
	q.networks[network]++
	return nil
}

func (q *unpackQueue) leave(network netip.Prefix) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting--
	if q.networks[network]--; q.networks[network] == 0 {
		delete(q.networks, network)
	}
}

func (q *unpackQueue) release(slots int64) { q.slots.Release(slots) }
