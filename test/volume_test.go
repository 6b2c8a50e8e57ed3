package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAThousandWebhooksWithDuplicates(t *testing.T) {
	t.Parallel()
	g := onServers(t)
	g.serve()
	g.work()

	const events, repeats, senders = 1000, 100, 32
	var queue []int
	for n := range events {
		queue = append(queue, n)
		if n%(events/repeats) == 0 {
			queue = append(queue, n)
		}
	}
	rand.Shuffle(len(queue), func(i, j int) { queue[i], queue[j] = queue[j], queue[i] })
	work := make(chan int, len(queue))
	for _, n := range queue {
		work <- n
	}
	close(work)

	var mu sync.Mutex
	answers := map[int]int{}
	ids := map[int]string{}
	wrong := []string{}
	var sending sync.WaitGroup
	for range senders {
		sending.Go(func() {
			for n := range work {
				status, r, e, err := g.post("acme", order(fmt.Sprintf("evt_bulk_%d", n), "bulk"), "")
				mu.Lock()
				answers[status]++
				switch {
				case err != nil:
					wrong = append(wrong, err.Error())
				case status/100 != 2:
					wrong = append(wrong, fmt.Sprintf("%d %s", status, e.Error.Message))
				case ids[n] != "" && ids[n] != r.EventID:
					wrong = append(wrong, fmt.Sprintf("webhook %d got the events %s and %s", n, ids[n], r.EventID))
				}
				ids[n] = r.EventID
				mu.Unlock()
			}
		})
	}
	sending.Wait()
	require.Empty(t, wrong)
	require.Equal(t, map[int]int{http.StatusAccepted: events, http.StatusOK: repeats}, answers)

	var page []eventView
	eventually(t, func() bool { return g.get("/events?subject=bulk&status=processed&pageSize=1", &page) == events }, "all are processed")
	require.Equal(t, events, g.get("/events?subject=bulk&pageSize=1", &page), "exactly that many events")
	for n, id := range ids {
		require.Equal(t, 1, g.receiver.count(id), "deliveries of webhook %d", n)
	}
	db := g.open()
	// The seeded example may still be in progress.
	eventually(t, func() bool { return g.total(db, "processing_jobs WHERE status IN ('queued', 'running')") == 0 }, "nothing is left to do")
	require.Equal(t, events, g.total(db, "idempotency_keys WHERE idempotency_key LIKE 'acme:evt_bulk_%'"))
	require.Equal(t, events, g.total(db, "webhook_events w JOIN normalized_events e ON e.webhook_event_id = w.id WHERE e.external_event_id LIKE 'evt_bulk_%'"))
}
