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

// graceSeconds is what a process may take to end in these tests.
const graceSeconds = 10

func TestServeIsTerminated(t *testing.T) {
	t.Parallel()
	g := onServers(t, "SHUTDOWN_GRACE_SECONDS", fmt.Sprint(graceSeconds))
	p := g.serve()

	// A webhook of which half has come.
	body := order("evt_slow", "slow")
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.base, "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "POST /api/v1/webhooks/acme HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"+
		"X-Acme-Signature: %s\r\nContent-Length: %d\r\n\r\n%s", acmeSignature(body), len(body), body[:20])
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, probe(g.base+"/readyz"), "by now the server has read it")

	p.terminate()
	eventually(t, func() bool { return probe(g.base+"/readyz") != http.StatusOK }, "it takes nothing more")
	require.True(t, p.running(), "it waits for the webhook")
	_, err = fmt.Fprint(conn, body[20:])
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err, "a webhook that was under way gets its answer")
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	require.NoError(t, res.Body.Close())
	require.Zero(t, p.exitCode(graceSeconds*time.Second+5*time.Second))
	require.True(t, p.has("stopped"))
	require.Equal(t, 1, g.total(g.open(), "normalized_events WHERE external_event_id = 'evt_slow'"), "and what was answered is stored")
}

func TestWorkIsTerminated(t *testing.T) {
	t.Parallel()
	g := onServers(t, "SHUTDOWN_GRACE_SECONDS", fmt.Sprint(graceSeconds))
	g.serve()
	p := g.work()
	held := newGate()
	g.receiver.answers(func(p parcel) int {
		held.hold(p)
		return http.StatusOK
	})
	defer held.release()
	r := g.send(http.StatusAccepted, "acme", order("evt_held", "held"), "")
	eventually(t, func() bool { return g.receiver.count(r.EventID) == 1 }, "the delivery is in the air")

	p.terminate()
	eventually(t, func() bool { return p.has("stopping") }, "it has understood")
	waiting := g.send(http.StatusAccepted, "acme", order("evt_waits", "held"), "")
	held.release()
	require.Zero(t, p.exitCode(graceSeconds*time.Second+5*time.Second))
	status, attempts := g.status(r.EventID)
	require.Equal(t, "processed", status, "a delivery in the air is finished and recorded")
	require.Equal(t, 1, attempts)
	status, _ = g.status(waiting.EventID)
	require.Equal(t, "pending", status, "and nothing new is begun")

	g.work()
	g.ends(waiting.EventID, "processed")
	require.Equal(t, 1, g.receiver.count(waiting.EventID))
	require.Equal(t, 1, g.receiver.count(r.EventID))
}

func TestWorkThatCannotFinishGivesBack(t *testing.T) {
	t.Parallel()
	const grace = 2 // less than the attempt's own timeout
	g := onServers(t, "SHUTDOWN_GRACE_SECONDS", fmt.Sprint(grace))
	g.serve()
	p := g.work()
	held := newGate()
	g.receiver.answers(func(p parcel) int {
		if p.nth == 1 {
			held.hold(p)
		}
		return http.StatusOK
	})
	defer held.release()
	r := g.send(http.StatusAccepted, "acme", order("evt_stuck", "stuck"), "")
	eventually(t, func() bool { return g.receiver.count(r.EventID) == 1 }, "the delivery is in the air")

	p.terminate()
	require.Zero(t, p.exitCode(grace*time.Second+5*time.Second), "within the grace time")
	status, attempts := g.status(r.EventID)
	require.Equal(t, "pending", status, "the job is queued again")
	require.Zero(t, attempts, "without an attempt being counted")

	g.work()
	g.ends(r.EventID, "processed")
	require.Equal(t, 2, g.receiver.count(r.EventID), "another worker takes it up, at once and not after a lease")
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	g := embedded(t, "SHUTDOWN_GRACE_SECONDS", "600")
	p := g.dev()
	held := newGate()
	defer held.release()
	g.receiver.answers(func(p parcel) int {
		held.hold(p)
		return http.StatusOK
	})
	r := g.send(http.StatusAccepted, "acme", order("evt_impatient", "impatient"), "")
	eventually(t, func() bool { return g.receiver.count(r.EventID) == 1 }, "the delivery is in the air")
	p.terminate()
	eventually(t, func() bool { return p.has("stopping") }, "it has understood")
	require.True(t, p.running())
	p.terminate()
	require.Equal(t, -1, p.exitCode(5*time.Second), "the signal itself ended it")

	held.release()
	g.dev()
	g.ends(r.EventID, "processed")
}

func TestADeployUnderLoad(t *testing.T) {
	t.Parallel()
	g := onServers(t, "SHUTDOWN_GRACE_SECONDS", fmt.Sprint(graceSeconds), "WEBHOOK_RATE_LIMIT_PER_MINUTE", "0")
	serve, worker := g.serve(), g.work()
	l := startLoad(g, "deploy", 8)
	for range 2 {
		l.reaches(50)
		next := g.work()
		worker.terminate()
		require.Zero(t, worker.exitCode(graceSeconds*time.Second+5*time.Second))
		worker = next
		serve.terminate()
		require.Zero(t, serve.exitCode(graceSeconds*time.Second+5*time.Second))
		serve = g.serve()
	}
	l.reaches(50)
	l.arrives()
	g.settles("deploy", l)
	require.Zero(t, g.receiver.repeats(), "nothing is lost, and nothing comes twice")
	t.Logf("%d webhooks answered 2xx over 2 deploys of serve and work, each delivered once", l.count())
}
