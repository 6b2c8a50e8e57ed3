package test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// graceSeconds is the grace period in these tests.
const graceSeconds = 10

func TestServeIsTerminated(t *testing.T) {
	t.Parallel()
	g := onServers(t, "SHUTDOWN_GRACE_SECONDS", fmt.Sprint(graceSeconds))
	p := g.serve()

	// A webhook whose body has half arrived.
	body := order("evt_slow", "slow")
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.base, "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "POST /api/v1/webhooks/acme HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"+
		"X-Acme-Signature: %s\r\nContent-Length: %d\r\n\r\n%s", acmeSignature(body), len(body), body[:20])
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, probe(g.base+"/readyz"), "by now the server has read it")

	p.terminate()
	eventually(t, func() bool { return probe(g.base+"/readyz") != http.StatusOK }, "it accepts nothing more")
	require.True(t, p.running(), "it waits for the webhook")
	_, err = fmt.Fprint(conn, body[20:])
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(waitTimeout)))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err, "a webhook in progress gets its response")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	require.NoError(t, res.Body.Close())
	require.Zero(t, p.exitCode(graceSeconds*time.Second+5*time.Second))
	require.True(t, p.hasLogged("stopped"))
	require.Equal(t, 1, g.total(g.open(), "normalized_events WHERE external_event_id = 'evt_slow'"), "and it is stored")
}

// Load balancers notice within the delay that readiness is gone; until then they send requests.
func TestServeAcceptsWhileItIsDraining(t *testing.T) {
	t.Parallel()
	const delay = 4 * time.Second
	g := onServers(t, "DRAIN_DELAY_SECONDS", fmt.Sprint(delay.Seconds()), "SHUTDOWN_GRACE_SECONDS", fmt.Sprint(graceSeconds))
	p := g.serve()
	began := time.Now()
	p.terminate()
	eventually(t, func() bool { return probe(g.base+"/readyz") == http.StatusServiceUnavailable }, "it says that it is not ready")
	require.Equal(t, http.StatusOK, probe(g.base+"/livez"))
	g.send(http.StatusAccepted, "acme", order("evt_late", "late"), "")
	require.Zero(t, p.exitCode(delay+graceSeconds*time.Second+5*time.Second))
	require.GreaterOrEqual(t, time.Since(began), delay)
	require.Equal(t, 1, g.total(g.open(), "normalized_events WHERE external_event_id = 'evt_late'"))
}

func TestWorkIsTerminated(t *testing.T) {
	t.Parallel()
	g := onServers(t, "SHUTDOWN_GRACE_SECONDS", fmt.Sprint(graceSeconds))
	g.serve()
	p := g.work()
	held := newGate()
	g.receiver.respondWith(func(d delivery) int {
		held.hold(d)
		return http.StatusOK
	})
	defer held.release()
	r := g.send(http.StatusAccepted, "acme", order("evt_held", "held"), "")
	eventually(t, func() bool { return g.receiver.count(r.EventID) == 1 }, "the delivery is in progress")

	p.terminate()
	eventually(t, func() bool { return probe(p.base+"/readyz") == http.StatusServiceUnavailable }, "it is shutting down")
	require.Equal(t, http.StatusOK, probe(p.base+"/livez"), "and answers until it has finished")
	waiting := g.send(http.StatusAccepted, "acme", order("evt_waits", "held"), "")
	held.release()
	require.Zero(t, p.exitCode(graceSeconds*time.Second+5*time.Second))
	status, attempts := g.status(r.EventID)
	require.Equal(t, "processed", status, "a delivery in progress is finished and recorded")
	require.Equal(t, 1, attempts)
	status, _ = g.status(waiting.EventID)
	require.Equal(t, "pending", status, "and nothing new is started")

	g.work()
	g.waitForStatus(waiting.EventID, "processed")
	require.Equal(t, 1, g.receiver.count(waiting.EventID))
	require.Equal(t, 1, g.receiver.count(r.EventID))
}

func TestWorkThatCannotFinishIsRequeued(t *testing.T) {
	t.Parallel()
	const grace = 2 // less than the attempt's own timeout
	g := onServers(t, "SHUTDOWN_GRACE_SECONDS", fmt.Sprint(grace))
	g.serve()
	p := g.work()
	held := newGate()
	g.receiver.respondWith(func(d delivery) int {
		if d.nth == 1 {
			held.hold(d)
		}
		return http.StatusOK
	})
	defer held.release()
	r := g.send(http.StatusAccepted, "acme", order("evt_stuck", "stuck"), "")
	eventually(t, func() bool { return g.receiver.count(r.EventID) == 1 }, "the delivery is in progress")

	p.terminate()
	require.Zero(t, p.exitCode(grace*time.Second+5*time.Second), "within the grace time")
	status, attempts := g.status(r.EventID)
	require.Equal(t, "pending", status, "the job is queued again")
	require.Zero(t, attempts, "without counting an attempt")

	g.work()
	g.waitForStatus(r.EventID, "processed")
	require.Equal(t, 2, g.receiver.count(r.EventID), "another worker takes it immediately, not after the lease")
}

func TestASecondSignalEndsTheProcess(t *testing.T) {
	t.Parallel()
	g := embedded(t, "SHUTDOWN_GRACE_SECONDS", "600")
	p := g.dev()
	held := newGate()
	defer held.release()
	g.receiver.respondWith(func(d delivery) int {
		held.hold(d)
		return http.StatusOK
	})
	r := g.send(http.StatusAccepted, "acme", order("evt_impatient", "impatient"), "")
	eventually(t, func() bool { return g.receiver.count(r.EventID) == 1 }, "the delivery is in progress")
	p.terminate()
	eventually(t, func() bool { return p.hasLogged("stopping") }, "it is shutting down")
	require.True(t, p.running())
	p.terminate()
	require.Equal(t, -1, p.exitCode(5*time.Second), "the signal itself ended it")

	held.release()
	g.dev()
	g.waitForStatus(r.EventID, "processed")
}

func TestADeploymentUnderLoad(t *testing.T) {
	t.Parallel()
	g := onServers(t, "SHUTDOWN_GRACE_SECONDS", fmt.Sprint(graceSeconds), "WEBHOOK_RATE_LIMIT_PER_MINUTE", "0")
	serve, worker := g.serve(), g.work()
	l := startLoad(g, "deploy", 8)
	for range 2 {
		l.waitForAnswers(50)
		next := g.work()
		worker.terminate()
		require.Zero(t, worker.exitCode(graceSeconds*time.Second+5*time.Second))
		worker = next
		serve.terminate()
		require.Zero(t, serve.exitCode(graceSeconds*time.Second+5*time.Second))
		serve = g.serve()
	}
	l.waitForAnswers(50)
	l.checkDeliveries()
	g.requireSettled("deploy", l)
	require.Zero(t, g.receiver.repeats(), "nothing is lost, and nothing is delivered twice")
	t.Logf("%d webhooks answered 2xx over 2 deploys of serve and work, each delivered once", l.count())
}
