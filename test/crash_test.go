package test

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// someFail lets about every sixteenth event's first attempt fail, so that retries are waiting
// when the power goes. The last digit of an event's id is the same in most.
func someFail(d delivery) int {
	if d.nth == 1 && d.id()[len(d.id())-2] == '0' {
		return http.StatusInternalServerError
	}
	return http.StatusOK
}

func TestTheEmbeddedDefaultIsKilled(t *testing.T) {
	t.Parallel()
	g := embedded(t, "RETRY_BASE_DELAY_MS", "200", "WEBHOOK_RATE_LIMIT_PER_MINUTE", "0")
	g.receiver.respondWith(someFail)
	p := g.dev()
	l := startLoad(g, "devcrash", 8)
	for range 3 {
		l.waitForAnswers(100)
		p.kill()
		p = g.dev()
	}
	l.waitForAnswers(50)
	l.checkDeliveries()
	g.requireSettled("devcrash", l)
	t.Logf("%d webhooks answered 2xx over 3 kills, all delivered; %d deliveries were duplicates (including retries)", l.count(), g.receiver.repeats())
}

// requireSettled waits until no job is live, and then requires that there are only events
// that were accepted or whose sender was disconnected, each processed.
func (g *gateway) requireSettled(subject string, l *load) {
	g.t.Helper()
	var page []eventView
	eventually(g.t, func() bool {
		return g.get("/events?subject="+subject+"&status=processed&pageSize=1", &page) == g.get("/events?subject="+subject+"&pageSize=1", &page)
	}, "every event is processed")
	require.GreaterOrEqual(g.t, g.get("/events?subject="+subject+"&pageSize=1", &page), l.count())
}

// leaseSeconds is how long a dead worker keeps its jobs: the attempt's timeout and the
// margin of modules/delivery.
const leaseSeconds = 1 + 30

func TestRolesAreKilledSeparately(t *testing.T) {
	t.Parallel()
	g := onServers(t, "RETRY_BASE_DELAY_MS", "200", "DELIVERY_TIMEOUT_MS", "1000", "WEBHOOK_RATE_LIMIT_PER_MINUTE", "0")
	g.receiver.respondWith(someFail)
	serve := g.serve()
	worker := g.work()
	l := startLoad(g, "rolecrash", 8)
	l.waitForAnswers(100)

	serve.kill()
	serve = g.serve()
	l.waitForAnswers(50)

	// The worker dies with deliveries in progress.
	held := newGate()
	defer held.release()
	g.receiver.respondWith(func(d delivery) int {
		held.hold(d)
		return http.StatusOK
	})
	db := g.open()
	running := func() int {
		return g.total(db, "processing_jobs WHERE status = 'running' AND destination_id IS NOT NULL")
	}
	eventually(t, func() bool { return running() >= 5 }, "deliveries are in progress")
	worker.kill()
	left := running()
	require.Positive(t, left, "claims outlive their worker")
	held.release()
	g.receiver.respondWith(someFail)
	g.work()
	l.waitForAnswers(50)
	serve.kill()
	g.serve()
	l.waitForAnswers(50)

	l.checkDeliveries()
	g.requireSettled("rolecrash", l)
	t.Logf("%d webhooks answered 2xx over kills of serve, work and serve, all delivered; %d claims of the dead worker were reclaimed after their lease of %s s; %d deliveries were duplicates",
		l.count(), left, strconv.Itoa(leaseSeconds), g.receiver.repeats())
}
