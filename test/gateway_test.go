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

// Secrets of the tests' own: none of them may appear in a log line or an answer.
const (
	managementKey = "k-8d1e6a40c7b94f52"
	secretsKey    = "s-2f90c4d17be84a63a5c1d7e08b3f6924"
)

// gateway is an installation of its own, whose destinations are a receiver.
type gateway struct {
	*client
	t         *testing.T
	env       map[string]string // of every process
	receiver  *receiver
	database  string // its URL, past every proxy
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
	}
	g.set(settings...)
	return g
}

// set changes the environment of the processes that are started from now on.
func (g *gateway) set(settings ...string) {
	for i := 0; i+1 < len(settings); i += 2 {
		g.env[settings[i]] = settings[i+1]
	}
}

// embedded starts `gateway dev` on a data folder of its own. settings are names and
// values of variables.
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

// onServers makes an installation on the real servers, migrated and seeded: a
// database of its own, and queues of its own. No role runs yet.
func onServers(t *testing.T, settings ...string) *gateway {
	t.Helper()
	g := newGateway(t, settings)
	g.database = testkit.EmptyPostgres(t)
	prefix := "gateway.test." + id.New()
	g.set("DATABASE_URL", g.database, "REDIS_URL", testkit.Server(t, testkit.RedisVariable),
		"RABBITMQ_URL", testkit.Server(t, testkit.RabbitMQVariable), "SECRETS_KEY", secretsKey,
		"IDEMPOTENCY_TTL_SECONDS", "120", // the markers in Redis go soon after the test
		"RABBITMQ_PROCESS_QUEUE", prefix+".process", "RABBITMQ_RETRY_QUEUE", prefix+".retry",
		"RABBITMQ_REPLAY_QUEUE", prefix+".replay", "RABBITMQ_DEAD_QUEUE", prefix+".dead")
	g.set(settings...)
	t.Cleanup(func() { deleteQueues(t, prefix) })
	g.run("migrate", "up")
	g.run("seed", "--callback-base", g.receiver.server.URL)
	return g
}

// deleteQueues removes an installation's queues, the rungs of the retry ladder too.
// What is not there is deleted without an error.
func deleteQueues(t *testing.T, prefix string) {
	ch := channel(t)
	names := []string{"process", "replay", "dead", "retry.250ms", "retry.500ms"}
	for seconds := 1; seconds <= 64; seconds *= 2 {
		names = append(names, fmt.Sprintf("retry.%ds", seconds))
	}
	for _, name := range names {
		_, err := ch.QueueDelete(prefix+"."+name, false, false, false)
		require.NoError(t, err)
	}
}

// channel is the test's own way to RabbitMQ.
func channel(t *testing.T) *amqp.Channel {
	conn, err := amqp.Dial(testkit.Server(t, testkit.RabbitMQVariable))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	require.NoError(t, err)
	return ch
}

// run runs a command to its end, which must be a good one, and gives what it said.
func (g *gateway) run(args ...string) string {
	g.t.Helper()
	p := startProcess(g.t, g.env, args...)
	require.Zero(g.t, p.exitCode(patience), "gateway %s", p.name)
	g.processes = append(g.processes, p)
	return p.said.String()
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
	g.processes = append(g.processes, p)
	eventually(g.t, func() bool { return !p.running() || probe(base+"/readyz") == http.StatusOK }, "gateway %s is ready", p.name)
	require.True(g.t, p.running(), "gateway %s ended at its start", p.name)
	return p
}

// probe gives the status that url answers with, 0 when it does not.
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

// open gives the installation's records.
func (g *gateway) open() *database.DB { return testkit.Open(g.t, g.database) }

// total counts rows.
func (g *gateway) total(db *database.DB, query string, args ...any) int {
	g.t.Helper()
	var n int
	require.NoError(g.t, db.Get(g.t.Context(), &n, "SELECT count(*) FROM "+query, args...))
	return n
}

// through is url by way of a proxy.
func through(t *testing.T, p *testkit.Proxy, text string) string {
	u, err := url.Parse(text)
	require.NoError(t, err)
	u.Host = p.Addr()
	return u.String()
}
