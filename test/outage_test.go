package test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

// health reads /health: its status and the state of each dependency.
func (g *gateway) health() (int, string, map[string]string) {
	g.t.Helper()
	res, e, err := g.ask(http.MethodGet, "/api/v1/health", nil, nil)
	require.NoError(g.t, err)
	var report struct {
		Status string
		Checks map[string]struct{ Status string }
	}
	require.NoError(g.t, decode(e.Data, &report))
	checks := map[string]string{}
	for name, check := range report.Checks {
		checks[name] = check.Status
	}
	return res.StatusCode, report.Status, checks
}

func TestStartWithoutRabbitMQAndRedis(t *testing.T) {
	t.Parallel()
	rabbit := testkit.NewProxy(t, testkit.Server(t, testkit.RabbitMQVariable))
	rabbit.Cut()
	g := onServers(t, "RABBITMQ_URL", rabbit.URL(), "REDIS_URL", fmt.Sprintf("redis://127.0.0.1:%d/0", freePort(t)))
	g.serve()
	g.work()
	var ids []string
	for n := range 20 {
		r := g.send(http.StatusAccepted, "acme", order(fmt.Sprintf("evt_early_%d", n), "early"), "")
		ids = append(ids, r.EventID)
		again := g.send(http.StatusOK, "acme", order(fmt.Sprintf("evt_early_%d", n), "early"), "")
		require.Equal(t, r.EventID, again.EventID, "without Redis the database detects duplicates")
	}
	code, status, checks := g.health()
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "degraded", status)
	require.Equal(t, map[string]string{"postgres": "ok", "redis": "error", "rabbitmq": "error"}, checks)
	require.Equal(t, http.StatusOK, probe(g.base+"/readyz"), "it can accept")
	require.Equal(t, len(ids), g.receiver.undelivered(ids))

	rabbit.Resume()
	eventually(t, func() bool { return g.receiver.undelivered(ids) == 0 }, "deliveries start when RabbitMQ appears")
	for _, id := range ids {
		g.waitForStatus(id, "processed")
		require.Equal(t, 1, g.receiver.count(id))
	}
	eventually(t, func() bool { _, _, checks = g.health(); return checks["rabbitmq"] == "ok" }, "health sees RabbitMQ")

	rabbit.Cut()
	r := g.send(http.StatusAccepted, "acme", order("evt_during", "early"), "")
	rabbit.Resume()
	g.waitForStatus(r.EventID, "processed")
}

// TestStartWithoutPostgreSQL: a process that is started during an outage is alive and not ready, says what it waits
// for, and becomes ready by itself.
func TestStartWithoutPostgreSQL(t *testing.T) {
	t.Parallel()
	postgres := testkit.NewProxy(t, testkit.Server(t, testkit.PostgresVariable))
	g := onServers(t)
	g.set("DATABASE_URL", viaProxy(t, postgres, g.database))
	postgres.Cut()
	worker := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	g.set("WORK_HTTP_ADDR", worker)
	serve, work := startProcess(t, g.env, "serve"), startProcess(t, g.env, "work", "--queues=process,replay")
	g.processes = append(g.processes, serve, work)
	for _, base := range []string{g.base, "http://" + worker} {
		eventually(t, func() bool { return probe(base+"/livez") == http.StatusOK }, "it is alive")
		require.Equal(t, http.StatusServiceUnavailable, probe(base+"/readyz"))
	}
	res, e, err := g.ask(http.MethodPost, "/api/v1/webhooks/acme", []byte(order("evt_start", "start")), map[string]string{
		"Content-Type": "application/json", "X-Acme-Signature": acmeSignature(order("evt_start", "start"))})
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode, "the sources are not known, so it cannot be verified")
	require.Equal(t, "DEPENDENCY_UNAVAILABLE", e.Error.Code)
	require.Equal(t, "5", res.Header.Get("Retry-After"))
	for _, p := range []*process{serve, work} {
		eventually(t, func() bool { return p.hasLogged("waiting for the database") }, "the log says what it waits for")
	}

	postgres.Resume()
	for _, base := range []string{g.base, "http://" + worker} {
		eventually(t, func() bool { return probe(base+"/readyz") == http.StatusOK }, "it becomes ready by itself")
	}
	require.True(t, serve.running() && work.running(), "by the same processes")
	g.waitForStatus(g.send(http.StatusAccepted, "acme", order("evt_start", "start"), "").EventID, "processed")
}

// hungBound is how long a webhook may wait for its response while PostgreSQL hangs.
const hungBound = 40 * time.Second

func TestPostgreSQLHangs(t *testing.T) {
	t.Parallel()
	postgres := testkit.NewProxy(t, testkit.Server(t, testkit.PostgresVariable))
	g := onServers(t, "SPOOL", "off")
	direct := g.database
	g.set("DATABASE_URL", viaProxy(t, postgres, direct))
	g.serve()
	g.work()
	before := g.send(http.StatusAccepted, "acme", order("evt_before", "hung"), "")
	g.waitForStatus(before.EventID, "processed")

	held := newGate()
	defer held.release()
	g.receiver.respondWith(func(d delivery) int {
		held.hold(d)
		return http.StatusOK
	})
	air := g.send(http.StatusAccepted, "acme", order("evt_air", "hung"), "")
	eventually(t, func() bool { return g.receiver.count(air.EventID) == 1 }, "a delivery is in progress")

	postgres.Hang()
	held.release() // its result cannot be stored now
	began := time.Now()
	res, e, err := g.ask(http.MethodPost, "/api/v1/webhooks/acme", []byte(order("evt_hung", "hung")), map[string]string{
		"Content-Type": "application/json", "X-Acme-Signature": acmeSignature(order("evt_hung", "hung"))})
	waited := time.Since(began)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode, "our outage is not a client error")
	require.Equal(t, "DEPENDENCY_UNAVAILABLE", e.Error.Code)
	seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
	require.NoError(t, err)
	require.Positive(t, seconds)
	require.Less(t, waited, hungBound)
	t.Logf("with PostgreSQL hung a webhook is answered 503 after %.1f s, Retry-After %d s", waited.Seconds(), seconds)
	eventually(t, func() bool { return probe(g.base+"/readyz") == http.StatusServiceUnavailable }, "it reports that it cannot accept")
	require.Equal(t, http.StatusOK, probe(g.base+"/livez"), "but is alive")
	code, _, checks := g.health()
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Equal(t, "error", checks["postgres"])

	postgres.Resume()
	eventually(t, func() bool { return probe(g.base+"/readyz") == http.StatusOK }, "it recovers by itself")
	db := g.open()
	stored := func(table string) int { return g.total(db, table+" WHERE external_event_id = 'evt_hung'") }
	webhooks := g.total(db, "webhook_events w JOIN normalized_events e ON e.webhook_event_id = w.id WHERE e.external_event_id = 'evt_hung'")
	require.Equal(t, webhooks, stored("normalized_events"), "nothing is stored partially")
	require.Equal(t, stored("normalized_events"), g.total(db, "idempotency_keys WHERE idempotency_key = 'acme:evt_hung'"))
	require.Equal(t, stored("normalized_events"), g.total(db,
		"processing_jobs WHERE normalized_event_id IN (SELECT id FROM normalized_events WHERE external_event_id = 'evt_hung')"))

	var r receipt
	eventually(t, func() bool {
		var status int
		status, r, _, err = g.post("acme", order("evt_hung", "hung"), "")
		return err == nil && status/100 == 2
	}, "the sender's retry is accepted")
	g.waitForStatus(r.EventID, "processed")
	require.Equal(t, 1, stored("normalized_events"))
	require.Equal(t, 1, g.receiver.count(r.EventID))

	g.waitForStatus(air.EventID, "processed")
	_, attempts := g.status(air.EventID)
	require.Equal(t, 1, attempts)
	require.Equal(t, 1, g.receiver.count(air.EventID), "the result waits for the database; the delivery is not repeated")
}

func TestRedisAndRabbitMQHang(t *testing.T) {
	t.Parallel()
	redis := testkit.NewProxy(t, testkit.Server(t, testkit.RedisVariable))
	rabbit := testkit.NewProxy(t, testkit.Server(t, testkit.RabbitMQVariable))
	g := onServers(t, "REDIS_URL", redis.URL(), "RABBITMQ_URL", rabbit.URL())
	g.serve()
	g.work()
	before := g.send(http.StatusAccepted, "acme", order("evt_before", "hung"), "")
	g.waitForStatus(before.EventID, "processed")

	redis.Hang()
	rabbit.Hang()
	var ids []string
	slowest := time.Duration(0)
	for n := range 20 {
		began := time.Now()
		r := g.send(http.StatusAccepted, "acme", order(fmt.Sprintf("evt_hung_%d", n), "hung"), "")
		slowest = max(slowest, time.Since(began))
		ids = append(ids, r.EventID)
	}
	require.Less(t, slowest, 2*time.Second, "no webhook waits for them")
	t.Logf("with Redis and RabbitMQ hung the slowest of %d webhooks was answered in %s", len(ids), slowest.Round(time.Millisecond))
	require.Equal(t, http.StatusOK, probe(g.base+"/readyz"))

	redis.Resume()
	rabbit.Resume()
	eventually(t, func() bool { return g.receiver.undelivered(ids) == 0 }, "accepted events are delivered")
	for _, id := range ids {
		g.waitForStatus(id, "processed")
		require.Equal(t, 1, g.receiver.count(id))
	}
}

func TestConnectionsBreakUnderLoad(t *testing.T) {
	t.Parallel()
	postgres := testkit.NewProxy(t, testkit.Server(t, testkit.PostgresVariable))
	rabbit := testkit.NewProxy(t, testkit.Server(t, testkit.RabbitMQVariable))
	redis := testkit.NewProxy(t, testkit.Server(t, testkit.RedisVariable))
	// A claim whose commit lost its answer waits for its lease, so the lease is short.
	g := onServers(t, "RABBITMQ_URL", rabbit.URL(), "REDIS_URL", redis.URL(), "WEBHOOK_RATE_LIMIT_PER_MINUTE", "0", "DELIVERY_TIMEOUT_MS", "1000", "SPOOL", "off")
	g.set("DATABASE_URL", viaProxy(t, postgres, g.database))
	g.serve()
	g.work()
	l := startLoad(g, "breaks", 8)
	for _, line := range []*testkit.Proxy{rabbit, redis, postgres, rabbit, postgres} {
		l.waitForAnswers(30)
		line.Cut()
		if line != postgres {
			l.waitForAnswers(30) // only the database is needed
		} else {
			eventually(t, func() bool { return probe(g.base+"/readyz") == http.StatusServiceUnavailable }, "the outage is detected")
		}
		line.Resume()
	}
	l.waitForAnswers(30)
	l.checkDeliveries()
	g.requireSettled("breaks", l)
	deliveries := g.receiver.total()
	require.GreaterOrEqual(t, g.total(g.open(), "delivery_attempts WHERE http_status = 204"), deliveries, "each delivery is recorded")
	t.Logf("%d webhooks answered 2xx over 5 cuts, all delivered, in %d deliveries", l.count(), deliveries)
}

func TestTheQueueIsDeleted(t *testing.T) {
	t.Parallel()
	g := onServers(t)
	g.serve()
	db := g.open()
	var ids []string
	for n := range 20 {
		ids = append(ids, g.send(http.StatusAccepted, "acme", order(fmt.Sprintf("evt_lost_%d", n), "lost"), "").EventID)
	}
	eventually(t, func() bool {
		return g.total(db, "processing_jobs WHERE status = 'queued' AND published_at IS NOT NULL") >= len(ids)
	}, "the jobs are published")
	ch := channel(t)
	lost, err := ch.QueueDelete(g.env["RABBITMQ_PROCESS_QUEUE"], false, false, false)
	require.NoError(t, err)
	require.Positive(t, lost, "messages were lost with it")
	g.work()
	eventually(t, func() bool { return g.receiver.undelivered(ids) == 0 }, "the records still have what was lost")
	for _, id := range ids {
		g.waitForStatus(id, "processed")
		require.Equal(t, 1, g.receiver.count(id))
	}
}

func TestQueuesOfAnotherTypeAreMigrated(t *testing.T) {
	t.Parallel()
	g := onServers(t)
	p := g.serve()
	eventually(t, func() bool { _, _, checks := g.health(); return checks["rabbitmq"] == "ok" }, "the queues are there")
	p.terminate()
	require.Zero(t, p.exitCode(waitTimeout))

	g.set("RABBITMQ_QUEUE_TYPE", "quorum")
	p = startProcess(t, g.env, "serve") // it does not become ready
	g.processes = append(g.processes, p)
	eventually(t, func() bool {
		_, e, err := g.ask(http.MethodGet, "/readyz", nil, nil)
		return err == nil && strings.Contains(string(e.Data), "misconfigured")
	}, "it is not ready, since nothing would be delivered")
	require.Equal(t, http.StatusServiceUnavailable, probe(g.base+"/readyz"))
	r := g.send(http.StatusAccepted, "acme", order("evt_stored", "stored"), "")
	p.terminate()
	require.Zero(t, p.exitCode(waitTimeout))
	require.Contains(t, p.output.String(), "run gateway queues migrate", "the log says what to do")

	g.run("queues", "migrate")
	g.serve()
	g.work()
	g.waitForStatus(r.EventID, "processed")
	require.Equal(t, http.StatusOK, probe(g.base+"/readyz"))
}
