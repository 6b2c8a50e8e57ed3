package config

import (
	"bufio"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/egress"
	"integration-gateway/platform/secret"
)

const (
	goodDatabase = "postgres://gateway:s3cr3t-in-url@127.0.0.1:5432/gateway"
	goodKey      = "k-5f0c2b7e9a1d4c83"
	goodSecrets  = "s-5f0c2b7e9a1d4c83-77b0e4c19fd2a635"
)

// enough is what `gateway serve` needs at least.
var enough = map[string]string{
	"DATABASE_URL":       goodDatabase,
	"RABBITMQ_URL":       "amqp://guest:guest@127.0.0.1:5672/",
	"MANAGEMENT_API_KEY": goodKey,
}

// setup leaves exactly these variables in the environment, in a folder without a
// configuration file.
func setup(t *testing.T, sets ...map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	names := []string{"NODE_ENV", PathVariable}
	for _, s := range settings(new(Config)) {
		names = append(names, s.name)
	}
	for _, name := range names {
		t.Setenv(name, "") // puts the present value back after the test
		require.NoError(t, os.Unsetenv(name))
	}
	for _, set := range sets {
		for name, value := range set {
			t.Setenv(name, value)
		}
	}
}

func file(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestDefaults(t *testing.T) {
	setup(t, enough)
	c, err := Load(Options{Role: Serve})
	require.NoError(t, err)
	require.Equal(t, Config{
		Env: Development,
		HTTP: HTTP{Host: "0.0.0.0", Port: 3000, ReadTimeout: time.Minute,
			WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxConnections: 8192, NetworkShare: 25, MinBodyRate: 1024},
		Listeners: Listeners{OIDC: OIDC{RoleClaim: "roles", Roles: map[string]string{"viewer": "viewer", "operator": "operator", "admin": "admin"}, Scopes: []string{"openid"}}},
		Log:       Log{Level: "info", Format: "auto"},
		Database:  Database{URL: secret.New(goodDatabase), MaxConnections: 20},
		RabbitMQ: RabbitMQ{URL: secret.New(enough["RABBITMQ_URL"]), Process: "ig.events.process", Retry: "ig.events.retry",
			Replay: "ig.events.replay", Dead: "ig.events.dead", QueueType: "classic",
			Spool: Spool{On: true, Queue: "ig.events.spool", MaxBytes: 1 << 30, MaxAge: 24 * time.Hour}},
		Webhook: Webhook{RatePerMinute: 6000, FailurePerMinute: 120, MaxBodyBytes: 5 << 20, MaxInflightBytes: 128 << 20, MaxInflight: 2048,
			IdempotencyTTL: 24 * time.Hour, ReplayWindow: 24 * time.Hour, ReplayAction: ReplayMark, QuarantineTime: 7 * 24 * time.Hour, QuarantineRequests: 50_000, QuarantineBytes: 256 << 20, QuarantinePerMinute: 4 << 20},
		Delivery: Delivery{MaxAttempts: 15, RetryBase: 5 * time.Second, RetryCap: 30 * time.Minute, Timeout: 15 * time.Second,
			LockTTL: time.Minute, Concurrency: 256, LeaseMargin: 30 * time.Second, BreakerVolume: 20, BreakerPercent: 80, BreakerProbe: 5 * time.Second},
		Retention:  Retention{Events: 90 * day, Audit: 400 * day},
		CheckEvery: 24 * time.Hour,
		Traces: Traces{Sampler: "parentbased_always_on", Share: 1, Service: "integration-gateway", Queue: 2048, Batch: 512, Delay: 5 * time.Second,
			ExportTimeout: 30 * time.Second},
		Alerts:        Alerts{JobAge: 5 * time.Minute, DeadLetters: 1, Quarantine: 100, RefusedPercent: 20, FailedPercent: 50, SilentFactor: 3, Certificate: 14 * day},
		ManagementKey: secret.New(goodKey), ManagementFailures: 60, StreamClients: 16,
		WorkAddr:      "127.0.0.1:3001",
		MetricsAddr:   "127.0.0.1:9464",
		Fingerprint:   c.Fingerprint,
		Settings:      c.Settings,
		ShutdownGrace: 25 * time.Second,
		EgressAllow:   egress.Allow{Networks: loopback},
	}, c)
}

func TestAWorkerHasAMetricsAddressOfItsOwn(t *testing.T) {
	setup(t, enough)
	c, err := Load(Options{Role: Work})
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:9465", c.MetricsAddr, "it runs beside serve")
	t.Setenv("METRICS_ADDR", ":3001")
	_, err = Load(Options{Role: Work})
	require.ErrorContains(t, err, "METRICS_ADDR")
	require.ErrorContains(t, err, "its port is that of WORK_HTTP_ADDR")
	t.Setenv("METRICS_ADDR", "127.0.0.1:0")
	c, err = Load(Options{Role: Work})
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:0", c.MetricsAddr)
	t.Setenv("METRICS_ADDR", "")
	c, err = Load(Options{Role: Work})
	require.NoError(t, err)
	require.Empty(t, c.MetricsAddr, "turned off")
}

// TestTheFingerprintTellsSettingsApart: it is public, so no secret may be guessed from it.
func TestTheFingerprintTellsSettingsApart(t *testing.T) {
	setup(t, enough)
	of := func() string {
		c, err := Load(Options{Role: Serve})
		require.NoError(t, err)
		return c.Fingerprint
	}
	first := of()
	require.Regexp(t, "^[0-9a-f]{12}$", first)
	require.Equal(t, first, of())
	for name, value := range map[string]string{
		"DATABASE_URL": "postgres://u:another@h/d", "REDIS_URL": "redis://:secret@h", "RABBITMQ_URL": "amqp://u:another@h/",
		"EGRESS_PROXY": "http://u:secret@h:1", "MANAGEMENT_API_KEY": goodKey + "x", "SECRETS_KEY": strings.Repeat("k1", 20),
	} {
		t.Setenv(name, value)
		require.Equal(t, first, of(), name)
	}
	t.Setenv("IDEMPOTENCY_TTL_SECONDS", "86401")
	require.NotEqual(t, first, of())
}

func TestTheConsoleIsOffOnAPublicListenerUnlessAskedFor(t *testing.T) {
	for _, c := range []struct {
		role              Role
		management, value string
		on                bool
	}{
		{Dev, "", "", true}, {Dev, "", "off", false}, {Serve, "", "", false}, {Serve, "", "on", true},
		{Serve, "127.0.0.1:3002", "", true}, {Serve, "127.0.0.1:3002", "off", false}, {Migrate, "127.0.0.1:3002", "", false},
	} {
		setup(t, enough)
		t.Setenv("MANAGEMENT_ADDR", c.management)
		t.Setenv("CONSOLE", c.value)
		got, err := Load(Options{Role: c.role})
		require.NoError(t, err)
		require.Equal(t, c.on, got.Console, "%v", c)
	}
}

func TestTheDefaultBudgetOutlastsAnHour(t *testing.T) {
	setup(t, enough)
	c, err := Load(Options{Role: Serve})
	require.NoError(t, err)
	total, delay := time.Duration(0), c.Delivery.RetryBase
	for range c.Delivery.MaxAttempts - 1 {
		total += min(delay, c.Delivery.RetryCap)
		delay *= 2
	}
	require.Equal(t, 3*time.Hour+12*time.Minute+35*time.Second, total)
	require.Greater(t, total/2, time.Hour, "even when chance halves every delay")
}

func TestEachVariableIsChecked(t *testing.T) {
	for _, c := range []struct{ name, bad, problem string }{
		{"APP_ENV", "staging", `"staging" is unknown; write one of development, test, production`},
		{"APP_HOST", "http://x", `"http://x" is not a host`},
		{"APP_PORT", "65536", `"65536" is not a whole number in its range; write one from 0 to 65535`},
		{"APP_PORT", "-1", "from 0 to 65535"},
		{"APP_PORT", "3e3", "not a whole number"},
		{"CONSOLE", "yes", `"yes" is unknown; write one of on, off`},
		{"PUBLIC_BASE_URL", "hooks.example.com", "it is not a base URL"},
		{"PUBLIC_BASE_URL", "https://x/?q", "it is not a base URL"},
		{"TRUSTED_PROXIES", "10.0.0.0/33", `"10.0.0.0/33" is not a network`},
		{"HTTP_READ_TIMEOUT_MS", "99", "from 100 to 600000"},
		{"HTTP_WRITE_TIMEOUT_MS", "1s", "not a whole number"},
		{"HTTP_IDLE_TIMEOUT_MS", "0", "from 1000 to 3600000"},
		{"WORK_HTTP_ADDR", "3001", `"3001" is not host:port`},
		{"WORK_HTTP_ADDR", "127.0.0.1:x", "is not host:port"},
		{"MANAGEMENT_ADDR", "3002", `"3002" is not host:port`},
		{"MANAGEMENT_ADDR", "10.0.0.5:3000", "its port is APP_PORT"},
		{"METRICS_ADDR", "9464", `"9464" is not host:port`},
		{"METRICS_ADDR", "10.0.0.5:3000", "its port is that of APP_PORT"},
		{"MANAGEMENT_FAILURE_LIMIT_PER_MINUTE", "-1", "not a whole number"},
		{"SHUTDOWN_GRACE_SECONDS", "0", "from 1 to 600"},
		{"DRAIN_DELAY_SECONDS", "301", "from 0 to 300"},
		{"LOG_LEVEL", "loud", `"loud" is unknown; write one of debug, info, warn, error, silent`},
		{"LOG_FORMAT", "xml", "write one of auto, json, text"},
		{"MANAGEMENT_API_KEY", "123456789012345", "it has 15 characters; use at least 16"},
		{"MANAGEMENT_API_KEY", "twenty characters ok", "do not survive an HTTP header"},
		{"SECRETS_KEY", strings.Repeat("ab", 15) + "c", "it has 31 characters; use at least 32"},
		{"SECRETS_KEY_FILE", "no/such/file", "SECRETS_KEY_FILE: the file cannot be read: no such file or directory; name a file"},
		{"SECRETS_READ_KEYS", goodSecrets, "SECRETS_KEY, which encrypts them, is not set"},
		{"DATABASE_URL", "mysql://u:hunter2@h/d", "start it with postgres:// or postgresql:// or sqlite://"},
		{"DATABASE_URL", "postgres://u:hunter2%zz@h/d", "it is not well-formed"},
		{"DATABASE_URL", "postgres:///d", "names no host"},
		{"DATABASE_URL", "sqlite://", "it names no file"},
		{"DATABASE_URL", "sqlite:///tmp/x.db", "use PostgreSQL, or run `gateway serve --work`"},
		{"DATABASE_URL", "postgres://u:hunter2@a:1,/d", "names no host"},
		{"REDIS_URL", "redis://u:hunter2@a:1,:2/", "names no host"},
		{"RABBITMQ_URL", "amqp://u:hunter2@a,b:port/", "it is not well-formed"},
		{"EGRESS_PROXY", "http://u:hunter2@a,b/", "it names several hosts"},
		{"DATABASE_MAX_CONNECTIONS", "1", "from 2 to 1000"},
		{"REDIS_URL", "127.0.0.1:6379", "start it with redis:// or rediss:// or unix://"},
		{"RABBITMQ_URL", "http://guest:hunter2@h", "start it with amqp:// or amqps://"},
		{"RABBITMQ_URL", "", "meet only through RabbitMQ"},
		{"RABBITMQ_PROCESS_QUEUE", "amq.mine", `"amq.mine" is not a queue name`},
		{"RABBITMQ_RETRY_QUEUE", strings.Repeat("q", 201), "at most 200 plain characters"},
		{"RABBITMQ_REPLAY_QUEUE", "ig.events.process", `"ig.events.process" is the name of RABBITMQ_PROCESS_QUEUE too`},
		{"RABBITMQ_DEAD_QUEUE", "a b", "is not a queue name"},
		{"RABBITMQ_QUEUE_TYPE", "stream", "write one of classic, quorum"},
		{"RETENTION_EVENTS", "90", `"90" is not an age; write days or hours such as 90d or 36h`},
		{"RETENTION_EVENTS", "23h", "23h0m0s is less than IDEMPOTENCY_TTL_SECONDS (24h0m0s)"},
		{"RETENTION_EVENTS", "0d", `"0d" is not an age`},
		{"RETENTION_AUDIT", "36501d", "at most 36500d"},
		{"RETENTION_AUDIT", "9223372036854775807h", "is not an age"},
		{"RETENTION_AUDIT", "d", `"d" is not an age`},
		{"WEBHOOK_RATE_LIMIT_PER_MINUTE", "many", "not a whole number"},
		{"WEBHOOK_FAILURE_LIMIT_PER_MINUTE", "-1", "not a whole number"},
		{"WEBHOOK_MAX_BODY_BYTES", "33554433", "from 1 to 33554432"},
		{"MAX_INFLIGHT_BODY_BYTES", "33554431", "write one from 33554432"},
		{"IDEMPOTENCY_TTL_SECONDS", "0", "write one from 1"},
		{"QUARANTINE_RETENTION_HOURS", "-1", "write one from 0"},
		{"QUARANTINE_REQUESTS_PER_SOURCE", "0", "write one from 1"},
		{"MAX_PROCESSING_RETRIES", "0", "from 1 to 1000"},
		{"RETRY_BASE_DELAY_MS", "0", "write one from 1"},
		{"RETRY_MAX_DELAY_MS", "4999", "is less than RETRY_BASE_DELAY_MS (5s)"},
		{"DELIVERY_TIMEOUT_MS", "0", "write one from 1"},
		{"DELIVERY_CONCURRENCY", "0", "from 1 to 10000"},
		{"EGRESS_ALLOW", "10.0.0.0/8, 300.1.1.1/8", `"300.1.1.1/8" is not a network`},
		{"EGRESS_DENY", "evil.example, *.example", `"*.example" is not a network`},
		{"EGRESS_PROXY", "socks5://u:hunter2@h:1", "start it with http:// or https://"},
		{"EGRESS_PROXY", "http://u:hunter2%zz@h", "it is not well-formed"},
		{"EGRESS_PROXY", "http://u:hunter2@h:1/path", "it holds more than a proxy's address"},
	} {
		t.Run(c.name+"="+c.bad[:min(len(c.bad), 20)], func(t *testing.T) {
			setup(t, enough, map[string]string{c.name: c.bad})
			_, err := Load(Options{Role: Serve})
			var mistakes Mistakes
			require.ErrorAs(t, err, &mistakes)
			require.Len(t, mistakes, 1)
			require.Equal(t, c.name, mistakes[0].Name)
			require.Contains(t, err.Error(), c.name+": ")
			require.Contains(t, err.Error(), c.problem)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestBothSidesOfTheBoundaries(t *testing.T) {
	setup(t, enough, map[string]string{
		"APP_PORT": "0", "PROCESSING_LOCK_TTL_SECONDS": "16", "RETRY_MAX_DELAY_MS": "5000", "WEBHOOK_MAX_BODY_BYTES": "33554432",
		"MAX_INFLIGHT_BODY_BYTES": "33554432", "MANAGEMENT_API_KEY": "1234567890123456", "WEBHOOK_RATE_LIMIT_PER_MINUTE": "0",
		"HTTP_READ_TIMEOUT_MS": "100", "WORK_HTTP_ADDR": ":0", "LOG_LEVEL": "WARN", "MAX_PROCESSING_RETRIES": "1",
		"TRUSTED_PROXIES": "10.1.2.3/8, ::1", "EGRESS_ALLOW": "10.0.0.0/8,Billing.Internal fd00::/8", "EGRESS_DENY": "10.9.0.0/16 Evil.Example", "EGRESS_PROXY": "http://u:p@proxy:3128/", "PUBLIC_BASE_URL": "https://hooks.example.com/",
	})
	c, err := Load(Options{Role: Serve})
	require.NoError(t, err)
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}, c.HTTP.TrustedProxies)
	require.Equal(t, egress.Allow{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
		Hosts: []string{"billing.internal"}}, c.EgressAllow)
	require.Equal(t, egress.Deny{Networks: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}, Hosts: []string{"evil.example"}}, c.EgressDeny)
	require.Equal(t, "http://u:p@proxy:3128/", c.EgressProxy.Reveal())
	require.Equal(t, "https://hooks.example.com", c.HTTP.PublicBaseURL)
}

func TestEverythingWrongIsSaidAtOnce(t *testing.T) {
	setup(t, map[string]string{"APP_PORT": "x", "DATABASE_URL": "mysql://u:hunter2@h", "MANAGEMENT_API_KEY": "hunter2", "LOG_LEVEL": "loud"})
	_, err := Load(Options{Role: Serve, Path: file(t, "app_prot: 1\nretry_base_delay_ms: soon\n")})
	var mistakes Mistakes
	require.ErrorAs(t, err, &mistakes)
	names := make([]string, len(mistakes))
	for i, m := range mistakes {
		names[i] = m.Name
	}
	require.ElementsMatch(t, []string{"app_prot", "APP_PORT", "LOG_LEVEL", "MANAGEMENT_API_KEY", "DATABASE_URL", "RABBITMQ_URL", "RETRY_BASE_DELAY_MS"}, names)
	require.Len(t, strings.Split(err.Error(), "\n"), 1+len(mistakes), "one line each")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestWhatEachRoleNeeds(t *testing.T) {
	sqlite := map[string]string{"DATABASE_URL": "sqlite://data/gateway.db", "MANAGEMENT_API_KEY": goodKey}
	for _, c := range []struct {
		sentence string
		options  Options
		env      map[string]string
		problem  string // "" when it may start
	}{
		{"serve without a database is told of dev", Options{Role: Serve}, nil, "run `gateway dev`"},
		{"work without a database is told of dev", Options{Role: Work}, nil, "run `gateway dev`"},
		{"work needs no management key", Options{Role: Work}, map[string]string{"DATABASE_URL": goodDatabase, "RABBITMQ_URL": "amqp://h/"}, ""},
		{"work needs RabbitMQ", Options{Role: Work}, map[string]string{"DATABASE_URL": goodDatabase}, "RABBITMQ_URL: it is not set"},
		{"work refuses SQLite", Options{Role: Work}, map[string]string{"DATABASE_URL": "sqlite://x.db", "RABBITMQ_URL": "amqp://h/"}, "SQLite serves one process"},
		{"serve --work takes SQLite and no RabbitMQ", Options{Role: Serve, Both: true}, sqlite, ""},
		{"serve alone does not", Options{Role: Serve}, sqlite, "RABBITMQ_URL: it is not set"},
		{"migrate needs the database alone", Options{Role: Migrate}, map[string]string{"DATABASE_URL": goodDatabase}, ""},
		{"migrate needs the database", Options{Role: Migrate}, nil, "DATABASE_URL: it is not set"},
		{"seed needs the database alone", Options{Role: Seed}, map[string]string{"DATABASE_URL": "sqlite://x.db"}, ""},
		{"dev needs nothing", Options{Role: Dev}, nil, ""},
		{"send needs nothing", Options{Role: Send}, map[string]string{"APP_ENV": "production"}, ""},
		{"dev does not look at the servers of the shell", Options{Role: Dev}, map[string]string{"DATABASE_URL": "mysql://x", "REDIS_URL": "x", "RABBITMQ_URL": "x"}, ""},
		{"a worker needs no management key in production", Options{Role: Work}, map[string]string{"DATABASE_URL": goodDatabase, "RABBITMQ_URL": "amqp://h/", "APP_ENV": "production", "SECRETS_KEY": goodSecrets}, ""},
		{"dev is not for production", Options{Role: Dev}, map[string]string{"APP_ENV": "production", "SECRETS_KEY": goodSecrets}, "APP_ENV: `gateway dev` has well-known secrets"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			setup(t, c.env)
			cfg, err := Load(c.options)
			if c.problem == "" {
				require.NoError(t, err)
				require.Equal(t, c.options.Role == Dev, cfg.ManagementKey.Equal(DemoKey))
				return
			}
			require.ErrorContains(t, err, c.problem)
		})
	}
}

func TestProduction(t *testing.T) {
	for _, c := range []struct{ sentence, key, problem string }{
		{"a key of one's own is taken", goodKey, ""},
		{"the demo key is refused", DemoKey, "it is a demo key"},
		{"a development key is refused", "dev-management-key-1234", "it is a demo key"},
		{"an example is refused", "please-change-me-soon", "it is a demo key"},
		{"a row of characters is refused", "0123456789abcdef", "it is easily guessed"},
		{"so is one character", "aaaaaaaaaaaaaaaaaaaaaaaa", "it is easily guessed"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			setup(t, enough, map[string]string{"APP_ENV": "production", "MANAGEMENT_API_KEY": c.key, "SECRETS_KEY": goodSecrets})
			cfg, err := Load(Options{Role: Serve})
			if c.problem != "" {
				require.ErrorContains(t, err, "MANAGEMENT_API_KEY: "+c.problem)
				require.NotContains(t, err.Error(), c.key)
				return
			}
			require.NoError(t, err)
			require.Zero(t, cfg.EgressAllow, "in production not even loopback is allowed")
			require.Equal(t, 5*time.Second, cfg.DrainDelay, "load balancers have time to notice")
		})
	}
}

func TestTheDrainDelay(t *testing.T) {
	for _, c := range []struct {
		sentence, env, given string
		role                 Role
		want                 time.Duration
	}{
		{"a developer does not wait", "development", "", Serve, 0},
		{"nor does a worker, to which nobody sends requests", "production", "", Work, 0},
		{"one that is given holds anywhere", "development", "7", Serve, 7 * time.Second},
		{"so does none", "production", "0", Serve, 0},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			setup(t, enough, map[string]string{"APP_ENV": c.env, "DRAIN_DELAY_SECONDS": c.given, "SECRETS_KEY": goodSecrets})
			cfg, err := Load(Options{Role: c.role})
			require.NoError(t, err)
			require.Equal(t, c.want, cfg.DrainDelay)
		})
	}
}

// Whoever reads of a mistake looks for it where it was made.
func TestAMistakeOfTheFileNamesItsKeyAndTheFile(t *testing.T) {
	setup(t, enough)
	path := file(t, "webhook_max_body_bytes: lots\nlog_level: loud\n")
	_, err := Load(Options{Role: Serve, Path: path})
	require.ErrorContains(t, err, "webhook_max_body_bytes in "+path+": \"lots\"")
	require.NotContains(t, err.Error(), "WEBHOOK_MAX_BODY_BYTES")
	t.Setenv("LOG_LEVEL", "louder")
	_, err = Load(Options{Role: Serve, Path: path})
	require.ErrorContains(t, err, "LOG_LEVEL: \"louder\"", "the environment wins, and is named")
}

func TestProductionKeepsSecretsEncryptedAlone(t *testing.T) {
	for _, c := range []struct {
		role    Role
		env     string
		refused bool
	}{{Serve, "production", true}, {Work, "production", true}, {Migrate, "production", false}, {Serve, "development", false}, {Serve, "test", false}} {
		setup(t, enough, map[string]string{"APP_ENV": c.env, "MANAGEMENT_API_KEY": goodKey, "SECRETS_KEY": ""})
		_, err := Load(Options{Role: c.role})
		if !c.refused {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, "SECRETS_KEY: it is not set")
		require.ErrorContains(t, err, "openssl rand -hex 32")
	}
}

func TestNodeEnvCountsWhereAppEnvIsUnset(t *testing.T) {
	for _, c := range []struct {
		sentence, app, node string
		role                Role
		want                Env
	}{
		{"neither is development", "", "", Serve, Development},
		{"NODE_ENV stands in", "", "production", Serve, Production},
		{"APP_ENV wins", "test", "production", Serve, Test},
		{"dev does not look at NODE_ENV", "", "production", Dev, Development},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			setup(t, enough, map[string]string{"APP_ENV": c.app, "NODE_ENV": c.node, "SECRETS_KEY": goodSecrets})
			cfg, err := Load(Options{Role: c.role})
			require.NoError(t, err)
			require.Equal(t, c.want, cfg.Env)
		})
	}
}

func TestDevListensToThisMachineAlone(t *testing.T) {
	listed, err := filepath.Abs(filepath.Join("..", "..", "configs", "gateway.yaml"))
	require.NoError(t, err)
	setup(t)
	c, err := Load(Options{Role: Dev, Path: listed})
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1", c.HTTP.Host, "its key is well known")
	t.Setenv("APP_HOST", "0.0.0.0")
	c, err = Load(Options{Role: Dev})
	require.NoError(t, err)
	require.Equal(t, "0.0.0.0", c.HTTP.Host, "unless told otherwise")

	_, err = Load(Options{Role: Dev, Path: file(t, "app_env: production\nsecrets_key: "+goodSecrets)})
	require.ErrorContains(t, err, "APP_ENV: `gateway dev`", "the file can forbid it too")
}

func TestWhoWins(t *testing.T) {
	path := file(t, "app_port: 4000\nlog_level: debug\nwork_http_addr: 127.0.0.1:9\nredis_url: redis://h:1\negress_allow: [10.0.0.0/8, billing.internal]\n")
	setup(t, enough, map[string]string{"APP_PORT": "5000", "REDIS_URL": "", "LOG_LEVEL": "", "SOMETHING_ELSE": "ignored"})
	c, err := Load(Options{Role: Serve, Path: path})
	require.NoError(t, err)
	require.Equal(t, 5000, c.HTTP.Port, "the environment wins over the file")
	require.Equal(t, "debug", c.Log.Level, "an empty variable that cannot be empty is as if it were not set")
	require.True(t, c.RedisURL.Empty(), "an empty variable that can be empty turns the file's value off")
	require.Equal(t, "127.0.0.1:9", c.WorkAddr, "the file wins over the default")
	require.Equal(t, []string{"billing.internal"}, c.EgressAllow.Hosts)

	c, err = Load(Options{Role: Serve, Path: path, Flags: map[string]string{"APP_PORT": "6000"}})
	require.NoError(t, err)
	require.Equal(t, 6000, c.HTTP.Port, "a flag wins over the environment")

	t.Setenv(PathVariable, path)
	t.Setenv("APP_PORT", "")
	c, err = Load(Options{Role: Serve})
	require.NoError(t, err)
	require.Equal(t, 4000, c.HTTP.Port, "the variable names the file")
}

func TestMistakesInTheFile(t *testing.T) {
	for _, c := range []struct{ sentence, text, problem string }{
		{"a misspelt key", "app_prot: 3000", "app_prot: there is no such key"},
		{"and what was meant", "app_prot: 3000", "did you mean app_port?"},
		{"a misspelt key without a value", "databse_url:", "did you mean database_url?"},
		{"a key in a section", "app:\n  port: 3000", "did you mean app_port?"},
		{"a key like no other", "colour: blue", "delete it"},
		{"a section for a value", "app_port:\n  - 1\n  - 2", "not a whole number"},
		{"no YAML", "app_port: [", "cannot be read"},
		{"no mapping", "hunter2", "it is not a YAML mapping"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			setup(t, enough)
			_, err := Load(Options{Role: Serve, Path: file(t, c.text)})
			require.ErrorContains(t, err, c.problem)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	setup(t, enough)
	_, err := Load(Options{Role: Serve, Path: "no/such.yaml"})
	require.ErrorContains(t, err, "--config: no/such.yaml cannot be read: no such file or directory")
}

func TestTheListedFileIsTheDefaults(t *testing.T) {
	listed, err := filepath.Abs(filepath.Join("..", "..", "configs", "gateway.yaml"))
	require.NoError(t, err)
	setup(t, enough)
	want, err := Load(Options{Role: Serve})
	require.NoError(t, err)
	got, err := Load(Options{Role: Serve, Path: listed})
	require.NoError(t, err)
	want.Settings, got.Settings = nil, nil // their origins differ
	require.Equal(t, want, got)

	f, err := os.Open(listed)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	remaining := settings(new(Config))
	previous := ""
	for lines := bufio.NewScanner(f); lines.Scan(); previous = lines.Text() {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		require.NotEmpty(t, remaining, line)
		next := remaining[0]
		remaining = remaining[1:]
		require.Equal(t, strings.TrimRight(strings.ToLower(next.name)+": "+next.fallback, " "), line, "in the order of the code")
		require.True(t, strings.HasPrefix(previous, "# "), "%s needs a comment of one line", line)
	}
	require.Empty(t, remaining, "configs/gateway.yaml lists every key")
}
