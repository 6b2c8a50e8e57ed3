package test

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// someFail lets every tenth event's first attempt fail, so that retries are waiting
// when the power goes.
func someFail(p parcel) int {
	if p.nth == 1 && p.id()[len(p.id())-1] == '0' {
		return http.StatusInternalServerError
	}
	return http.StatusOK
}

func TestTheEmbeddedDefaultIsKilled(t *testing.T) {
	t.Parallel()
	g := embedded(t, "RETRY_BASE_DELAY_MS", "200", "WEBHOOK_RATE_LIMIT_PER_MINUTE", "0")
	g.receiver.answers(someFail)
	p := g.dev()
	l := startLoad(g, "devcrash", 8)
	for range 3 {
		l.reaches(100)
		p.kill()
		p = g.dev()
	}
	l.reaches(50)
	l.arrives()
	g.settles("devcrash", l)
	t.Logf("%d webhooks answered 2xx over 3 kills, all delivered; %d deliveries were repeats (of failed attempts too)", l.count(), g.receiver.repeats())
}

// settles waits until no job is live, and then finds no event but those that were
// promised or whose sender was cut off, each processed.
func (g *gateway) settles(subject string, l *load) {
	g.t.Helper()
	var page []eventView
	eventually(g.t, func() bool {
		return g.get("/events?subject="+subject+"&status=processed&pageSize=1", &page) == g.get("/events?subject="+subject+"&pageSize=1", &page)
	}, "every event is processed")
	require.GreaterOrEqual(g.t, g.get("/events?subject="+subject+"&pageSize=1", &page), l.count())
}

// leaseSeconds is how long a dead worker's jobs stay with it: the attempt's timeout
// and the margin of modules/delivery.
const leaseSeconds = 1 + 30

func TestRolesAreKilledApart(t *testing.T) {
	t.Parallel()
	g := onServers(t, "RETRY_BASE_DELAY_MS", "200", "DELIVERY_TIMEOUT_MS", "1000", "WEBHOOK_RATE_LIMIT_PER_MINUTE", "0")
	g.receiver.answers(someFail)
	serve := g.serve()
	worker := g.work()
	l := startLoad(g, "rolecrash", 8)
	l.reaches(100)

	serve.kill()
	serve = g.serve()
	l.reaches(50)

	// The worker dies with deliveries in the air.
	held := newGate()
	defer held.release()
	g.receiver.answers(func(p parcel) int {
		held.hold(p)
		return http.StatusOK
	})
	db := g.open()
	running := func() int {
		return g.total(db, "processing_jobs WHERE status = 'running' AND destination_id IS NOT NULL")
	}
	eventually(t, func() bool { return running() >= 5 }, "deliveries are in the air")
	worker.kill()
	left := running()
	require.Positive(t, left, "claims outlive their worker")
	held.release()
	g.receiver.answers(someFail)
	g.work()
	l.reaches(50)
	serve.kill()
	g.serve()
	l.reaches(50)

	l.arrives()
	g.settles("rolecrash", l)
	t.Logf("%d webhooks answered 2xx over kills of serve, work and serve, all delivered; %d claims were left by the dead worker and taken up after their lease of %s s; %d deliveries were repeats",
		l.count(), left, strconv.Itoa(leaseSeconds), g.receiver.repeats())
}
