package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/egress"
	"integration-gateway/platform/secret"
)

// loopback is what destinations may be in development and test.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// complete fills in what depends on other settings and on the role.
func complete(c *Config, o Options, given map[string]bool) {
	fit(c)
	completeDoors(c, o)
	if !given["EGRESS_ALLOW"] && c.Env != Production {
		c.EgressAllow = egress.Allow{Networks: slices.Clone(loopback)}
	}
	host := "0.0.0.0"
	if o.Role == Dev {
		host = "127.0.0.1" // its key is well known: nobody else's machine may reach it
	}
	if o.Role == Work && !given["METRICS_ADDR"] {
		c.MetricsAddr = workMetricsAddr
	}
	c.MetricsInAPI = o.Role == Dev
	if !given["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] {
		c.Traces.Batch = min(c.Traces.Batch, c.Traces.Queue)
	}
	if !given["CONSOLE"] { // on a public listener only who asks for it has it
		c.Console = o.Role == Dev || o.Role == Serve && c.ManagementAddr != ""
	}
	if !given["RABBITMQ_SPOOL_QUEUE"] { // installations with queues of their own do not share this one
		c.RabbitMQ.Spool.Queue = strings.TrimSuffix(c.RabbitMQ.Process, ".process") + ".spool"
	}
	if !given["DRAIN_DELAY_SECONDS"] && o.Role == Serve && c.Env == Production {
		c.DrainDelay = defaultDrainDelay
	}
	if !given["APP_HOST"] {
		c.HTTP.Host = host
	}
	if o.Role == Dev && !given["MANAGEMENT_API_KEY"] {
		c.ManagementKey = secret.New(DemoKey)
	}
}

// fit moves the defaults of settings that are ours to what the described service's
// settings ask for, so that whatever was right there is right here. What somebody set
// in the environment, or to another value in the file, stays and is checked.
func fit(c *Config) {
	ours := func(name string, value, fallback time.Duration) bool {
		return os.Getenv(name) == "" && value == fallback
	}
	if ours("DELIVERY_TIMEOUT_MS", c.Delivery.Timeout, defaultTimeout) && c.Delivery.LockTTL > 0 && c.Delivery.LockTTL <= defaultTimeout {
		c.Delivery.Timeout = c.Delivery.LockTTL * 3 / 4
	}
	if ours("RETRY_MAX_DELAY_MS", c.Delivery.RetryCap, defaultRetryCap) {
		c.Delivery.RetryCap = max(c.Delivery.RetryCap, c.Delivery.RetryBase)
	}
	if ours("RETENTION_EVENTS", c.Retention.Events, defaultEvents) {
		c.Retention.Events = max(c.Retention.Events, c.Webhook.IdempotencyTTL)
	}
}

// check finds what is wrong between settings, and what the role needs.
func check(c Config, o Options, m *Mistakes) {
	checkNeeds(c, o, m)
	checkProduction(c, o, m)
	checkAcross(c, o, m)
	checkTraces(c, m)
}

func checkNeeds(c Config, o Options, m *Mistakes) {
	if o.Role == Dev || o.Role == Send {
		return
	}
	if c.Database.URL.Empty() && !m.has("DATABASE_URL") {
		m.add("DATABASE_URL", NotSet, "write postgres://user:password@host:5432/name, or run `gateway dev`, which needs nothing installed")
	}
	apart := o.Role == Serve && !o.Both || o.Role == Work
	if apart && c.Database.SQLite() {
		m.add("DATABASE_URL", "SQLite serves one process, and `gateway "+string(o.Role)+"` is one of several",
			"use PostgreSQL, or run `gateway serve --work`, which is both in one process")
	}
	if apart && c.RabbitMQ.URL.Empty() && !m.has("RABBITMQ_URL") {
		m.add("RABBITMQ_URL", "it is not set, and processes that run apart meet only through RabbitMQ",
			"write amqp://user:password@host:5672/, or run `gateway serve --work`, which is both in one process")
	}
	if o.Role == Serve && c.ManagementKey.Empty() && !m.has("MANAGEMENT_API_KEY") {
		m.add("MANAGEMENT_API_KEY", "it is not set, and the management routes are protected by it", "write at least 16 characters, for example from: openssl rand -hex 32")
	}
}

func checkProduction(c Config, o Options, m *Mistakes) {
	if c.Env != Production {
		return
	}
	if o.Role == Dev {
		m.add("APP_ENV", "`gateway dev` has well-known secrets and is not for production", "run `gateway serve` and `gateway work`, or unset APP_ENV")
	}
	if demo(c.ManagementKey.Reveal()) {
		m.add("MANAGEMENT_API_KEY", "it is a demo key, which everybody knows", "in production use your own, for example from: openssl rand -hex 32")
	} else if !c.ManagementKey.Empty() && weak(c.ManagementKey.Reveal()) {
		m.add("MANAGEMENT_API_KEY", "it is easily guessed", "in production use one that was made at random, for example from: openssl rand -hex 32")
	}
	if keeps := o.Role == Serve || o.Role == Work || o.Role == Seed; keeps && c.SecretsKey.Empty() && !m.has("SECRETS_KEY") && !m.has("SECRETS_KEY_FILE") {
		m.add("SECRETS_KEY", "it is not set, and in production secrets are kept encrypted alone", "write at least 32 characters, the same for every process, for example from: openssl rand -hex 32")
	}
	if demo(c.SecretsKey.Reveal()) {
		m.add("SECRETS_KEY", "it is a demo key, which everybody knows", "in production use your own, for example from: openssl rand -hex 32")
	} else if !c.SecretsKey.Empty() && weak(c.SecretsKey.Reveal()) {
		m.add("SECRETS_KEY", "it is easily guessed", "in production use one that was made at random, for example from: openssl rand -hex 32")
	}
}

// demo reports whether a key is one that examples use.
func demo(key string) bool {
	key = strings.ToLower(key)
	for _, start := range []string{"dev-", "demo-", "local-", "example-", "your-"} {
		if strings.HasPrefix(key, start) {
			return true
		}
	}
	for _, part := range []string{"-demo-", "change-me", "change_me", "changeme", "replace-me", "replace_me"} {
		if strings.Contains(key, part) {
			return true
		}
	}
	return false
}

// checkListeners refuses one port for both listeners, also on different hosts: 0.0.0.0 is
// every host, and names may be one and the same.
// samePort reports whether two addresses have the same port; 0 is any free one.
func samePort(a, b string) bool {
	_, first, _ := net.SplitHostPort(a)
	_, second, _ := net.SplitHostPort(b)
	return first == second && first != "" && first != "0"
}

func checkListeners(c Config, o Options, m *Mistakes) {
	others := map[string]string{"APP_PORT": ":" + strconv.Itoa(c.HTTP.Port), "MANAGEMENT_ADDR": c.ManagementAddr}
	if o.Role == Work {
		others = map[string]string{"WORK_HTTP_ADDR": c.WorkAddr}
	}
	for name, other := range others {
		if samePort(c.MetricsAddr, other) {
			m.add("METRICS_ADDR", "its port is that of "+name+", and metrics have a listener of their own", "give it a port of its own, or leave it empty to turn it off")
		}
	}
	_, port, err := net.SplitHostPort(c.ManagementAddr)
	if err == nil && c.HTTP.Port != 0 && port == strconv.Itoa(c.HTTP.Port) {
		m.add("MANAGEMENT_ADDR", "its port is APP_PORT, and the two listeners stand apart", "give it a port of its own, or leave it empty to have the management API on APP_PORT")
	}
}

func checkAcross(c Config, o Options, m *Mistakes) {
	checkListeners(c, o, m)
	checkDoors(c, m)
	checkAlerts(c, m)
	if len(c.SecretsReadKeys) > 0 && c.SecretsKey.Empty() && !m.has("SECRETS_KEY") && !m.has("SECRETS_KEY_FILE") {
		m.add("SECRETS_READ_KEYS", "they only open secrets, and SECRETS_KEY, which encrypts them, is not set", "set it, or leave these out")
	}
	if c.Delivery.Timeout > 0 && c.Delivery.LockTTL > 0 && c.Delivery.Timeout >= c.Delivery.LockTTL {
		m.add("PROCESSING_LOCK_TTL_SECONDS", fmt.Sprintf("%s does not outlive an attempt of DELIVERY_TIMEOUT_MS (%s)", c.Delivery.LockTTL, c.Delivery.Timeout),
			"make the lock last longer than the attempt that it guards")
	}
	if c.Delivery.RetryCap > 0 && c.Delivery.RetryCap < c.Delivery.RetryBase {
		m.add("RETRY_MAX_DELAY_MS", fmt.Sprintf("%s is less than RETRY_BASE_DELAY_MS (%s)", c.Delivery.RetryCap, c.Delivery.RetryBase),
			"make the longest delay at least as long as the first")
	}
	if c.Retention.Events > 0 && c.Retention.Events < c.Webhook.IdempotencyTTL {
		m.add("RETENTION_EVENTS", fmt.Sprintf("%s is less than IDEMPOTENCY_TTL_SECONDS (%s), for which repeats are known", c.Retention.Events, c.Webhook.IdempotencyTTL),
			"keep events at least as long: their idempotency keys go with them")
	}
	named := map[string]string{}
	for _, q := range []struct{ variable, name string }{
		{"RABBITMQ_PROCESS_QUEUE", c.RabbitMQ.Process}, {"RABBITMQ_RETRY_QUEUE", c.RabbitMQ.Retry},
		{"RABBITMQ_REPLAY_QUEUE", c.RabbitMQ.Replay}, {"RABBITMQ_DEAD_QUEUE", c.RabbitMQ.Dead},
		{"RABBITMQ_SPOOL_QUEUE", c.RabbitMQ.Spool.Queue},
	} {
		if other, taken := named[q.name]; taken && q.name != "" {
			m.add(q.variable, fmt.Sprintf("%q is the name of %s too", q.name, other), "give each queue a name of its own")
		}
		named[q.name] = q.variable
	}
}
