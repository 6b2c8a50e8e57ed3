package test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// The tests' secrets: none may appear in a log line or a response.
const (
	managementKey = "k-8d1e6a40c7b94f52"
	secretsKey    = "s-2f90c4d17be84a63a5c1d7e08b3f6924"
)

// gateway is an installation whose destinations are a receiver.
type gateway struct {
	*client
	t         *testing.T
	env       map[string]string // of every process
	receiver  *receiver
	database  string // its URL, without any proxy
	port      int    // of the API
	processes []*process
}

func newGateway(t *testing.T, settings []string) *gateway {
	t.Helper()
	file, err := filepath.Abs("../configs/gateway.yaml")
	require.NoError(t, err)
	g := &gateway{t: t, port: freePort(t), receiver: newReceiver(t)}
	g.client = newClient(t, fmt.Sprintf("http://127.0.0.1:%d", g.port))
	g.env = map[string]string{
		"GATEWAY_CONFIG": file, "APP_ENV": "test", "APP_HOST": "127.0.0.1", "APP_PORT": strconv.Itoa(g.port),
		"MANAGEMENT_API_KEY": managementKey, "LOG_LEVEL": "info", "LOG_FORMAT": "json",
		"METRICS_ADDR": "127.0.0.1:0", // several processes on one machine
	}
	g.set(settings...)
	return g
}

// set changes the environment of processes started later.
func (g *gateway) set(settings ...string) {
	for i := 0; i+1 < len(settings); i += 2 {
		g.env[settings[i]] = settings[i+1]
	}
}

// embedded starts `gateway dev` on its own data folder. settings are names and values of
// variables.
func embedded(t *testing.T, settings ...string) *gateway {
	t.Helper()
	g := newGateway(t, settings)
	data := filepath.Join(t.TempDir(), "data")
	g.env["data"] = data // for dev
	g.database = "sqlite://" + filepath.Join(data, "gateway.db")
	return g
}

// dev starts `gateway dev` and waits until it is ready.
func (g *gateway) dev() *process {
	g.t.Helper()
	return g.start(g.base, "dev", "--data", g.env["data"], "--port", strconv.Itoa(g.port), "--callback-base", g.receiver.server.URL)
}

// onServers makes an installation on the real servers, migrated and seeded, with its own
// database and queues. No role is running yet.
func onServers(t *testing.T, settings ...string) *gateway {
	t.Helper()
	g := newGateway(t, settings)
	g.database = testkit.EmptyPostgres(t)
	prefix := "gateway.test." + id.New()
	g.set("DATABASE_URL", g.database, "REDIS_URL", testkit.Server(t, testkit.RedisVariable),
		"RABBITMQ_URL", testkit.Server(t, testkit.RabbitMQVariable), "SECRETS_KEY", secretsKey,
		"IDEMPOTENCY_TTL_SECONDS", "120", // the markers in Redis expire soon after the test
		"RABBITMQ_PROCESS_QUEUE", prefix+".process", "RABBITMQ_RETRY_QUEUE", prefix+".retry",
		"RABBITMQ_REPLAY_QUEUE", prefix+".replay", "RABBITMQ_DEAD_QUEUE", prefix+".dead")
	g.set(settings...)
	t.Cleanup(func() { deleteQueues(t, prefix) })
	g.run("migrate", "up")
	g.run("seed", "--callback-base", g.receiver.server.URL)
	return g
}

// deleteQueues deletes an installation's queues, including the delay queues. Missing ones
// are ignored.
func deleteQueues(t *testing.T, prefix string) {
	ch := channel(t)
	names := []string{"process", "replay", "dead", "spool", "spool.parked", "retry.250ms", "retry.500ms"}
	for seconds := 1; seconds <= 64; seconds *= 2 {
		names = append(names, fmt.Sprintf("retry.%ds", seconds))
	}
	for _, name := range names {
		_, err := ch.QueueDelete(prefix+"."+name, false, false, false)
		require.NoError(t, err)
	}
}

// channel returns the test's direct channel to RabbitMQ.
func channel(t *testing.T) *amqp.Channel {
	conn, err := amqp.Dial(testkit.Server(t, testkit.RabbitMQVariable))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	require.NoError(t, err)
	return ch
}

// run runs a command, which must succeed, and returns its output.
func (g *gateway) run(args ...string) string {
	g.t.Helper()
	p := startProcess(g.t, g.env, args...)
	require.Zero(g.t, p.exitCode(waitTimeout), "gateway %s", p.name)
	g.processes = append(g.processes, p)
	return p.output.String()
}

// serve starts `gateway serve` and waits until it is ready.
func (g *gateway) serve() *process {
	g.t.Helper()
	return g.start(g.base, "serve")
}

// work starts `gateway work` and waits until it is ready.
func (g *gateway) work() *process {
	g.t.Helper()
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(g.t)))
	before := maps.Clone(g.env)
	defer func() { g.env = before }()
	g.env = maps.Clone(before)
	g.env["WORK_HTTP_ADDR"] = address
	return g.start("http://"+address, "work", "--queues=process,replay")
}

func (g *gateway) start(base string, args ...string) *process {
	g.t.Helper()
	p := startProcess(g.t, g.env, args...)
	p.base = base
	g.processes = append(g.processes, p)
	eventually(g.t, func() bool { return !p.running() || probe(base+"/readyz") == http.StatusOK }, "gateway %s is ready", p.name)
	require.True(g.t, p.running(), "gateway %s exited at its start", p.name)
	return p
}

// probe returns the status of url, 0 without a response.
func probe(url string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// open opens the installation's records.
func (g *gateway) open() *database.DB { return testkit.Open(g.t, g.database) }

// total counts rows.
func (g *gateway) total(db *database.DB, query string, args ...any) int {
	g.t.Helper()
	var n int
	require.NoError(g.t, db.Get(g.t.Context(), &n, "SELECT count(*) FROM "+query, args...))
	return n
}

// viaProxy returns the URL through a proxy.
func viaProxy(t *testing.T, p *testkit.Proxy, text string) string {
	u, err := url.Parse(text)
	require.NoError(t, err)
	u.Host = p.Addr()
	return u.String()
}
