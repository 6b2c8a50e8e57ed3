package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// setup hides this machine's environment and files from the command line, except for these
// variables.
func setup(t *testing.T, env ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if name == strings.ToUpper(name) && name != "PATH" && name != "TMPDIR" && name != "HOME" {
			t.Setenv(name, "") // restores the present value after the test
			require.NoError(t, os.Unsetenv(name))
		}
	}
	t.Setenv("HOME", t.TempDir()) // without the contexts of this machine
	for i := 0; i+1 < len(env); i += 2 {
		t.Setenv(env[i], env[i+1])
	}
}

func runLine(t *testing.T, line string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = Run(t.Context(), strings.Fields(line), &out, &err)
	return code, out.String(), err.String()
}

func TestInvalidCommandLines(t *testing.T) {
	for _, c := range []struct{ sentence, line, says string }{
		{"an unknown command", "srve", `unknown command "srve" for "gateway"`},
		{"an unknown flag", "serve --wrok", "unknown flag: --wrok"},
		{"an argument too many", "serve now", `unknown command "now"`},
		{"an invalid number", "work --concurrency many", `invalid argument "many"`},
		{"an unknown queue", "work --queues=process,retry", `--queues: unknown queue "retry"; the queues are process and replay`},
		{"no queue", "work --queues=", "--queues: name at least one of process and replay"},
		{"a concurrency of zero", "work --concurrency 0", "DELIVERY_CONCURRENCY"},
		{"secrets alone", "secrets", "secrets: name a subcommand: status or rotate-key"},
		{"migrate alone", "migrate", "migrate: name a subcommand: up, plan, down, version or force"},
		{"down without a number", "migrate down", "--steps N, or revert every migration, and lose all data, with --all"},
		{"down with both", "migrate down --steps 1 --all", "not both"},
		{"down by zero", "migrate down --steps 0", "--steps must be at least 1"},
		{"force without a version", "migrate force", "accepts 1 arg(s), received 0"},
		{"force to no version", "migrate force one", `migrate force: "one" is not a version`},
		{"a negative limit", "verify --limit -1", "--limit must be at least 0"},
		{"a negative grace", "verify --grace -1s", "--grace must be at least 0s"},
		{"nothing to verify", "verify", "DATABASE_URL: it is not set"},
		{"send without a provider", "send", "accepts 1 arg(s), received 0"},
		{"send for an unknown provider", "send initech", "send: unknown provider initech; the providers are acme, adyen,"},
		{"send without a secret", "send github", "send: give the secret of the integration with --secret or GATEWAY_SEND_SECRET"},
		{"send of an unknown type", "send acme --type x", "send: the provider acme has no sample of the type x; it has order.created"},
		{"send of what only its provider can sign", "send aws-sns --secret x", "can only be signed by Amazon SNS"},
		{"send of nothing", "send acme --count 0", "send: --count must be from 1 to 10000"},
		{"send to an invalid address", "send acme --to 127.0.0.1:3000", "send: --to must be an address such as"},
		{"send with a secret that is not a key", "send standard-webhooks --secret whpk_aGk=", "send: --secret: a public key (whpk_…) has 32 bytes"},
		{"dead-letters alone", "dead-letters", "dead-letters: name a subcommand: list, show, requeue or resolve"},
		{"an invalid filter", "dead-letters list --kind lost --event-id 7", "--kind must be one of exhausted, refused, unreadable"},
		{"an invalid limit", "dead-letters list --limit 0", "--limit must be at least 1"},
		{"flags that exclude each other", "dead-letters list --limit 5 --all", "[all limit]"},
		{"an invalid id", "dead-letters show 7", "the id must be a UUID"},
		{"a requeue of nothing", "dead-letters requeue", "give an id, a filter, or --all"},
		{"a requeue of all by filter", "dead-letters requeue --all --kind refused", "give an id, a filter, or --all"},
		{"a requeue of one by filter", "dead-letters requeue 7 --kind refused", "give an id or a filter, not both"},
		{"an invalid callback", "seed --callback-base nowhere", "--callback-base: The URL must start with https://"},
		{"keeping what is no demo", "dev --keep", "--keep belongs to --demo"},
		{"a demo with a callback", "dev --demo --callback-base http://127.0.0.1:1", "remove --callback-base"},
		{"an invalid port", "dev --port 65536", "APP_PORT"},
		{"a file that is not there", "dev --config nowhere.yaml", "--config: nowhere.yaml cannot be read"},
		{"no configuration", "serve", "run `gateway dev`"},
		{"no configuration to work with", "work", "DATABASE_URL: it is not set"},
		{"nothing to migrate", "migrate up", "DATABASE_URL: it is not set"},
		{"nothing to seed", "seed", "DATABASE_URL: it is not set"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			setup(t)
			code, stdout, stderr := runLine(t, c.line)
			require.Equal(t, exitUsage, code, stderr)
			require.True(t, strings.HasPrefix(stderr, "gateway: "), stderr)
			require.Contains(t, stderr, c.says)
			require.NotContains(t, stderr, "Usage:", "only the mistake is shown")
			require.Empty(t, stdout)
		})
	}
}

func TestAnInvalidServerURLIsAConfigurationError(t *testing.T) {
	for name, wrong := range map[string]string{"REDIS_URL": "redis://h:6379/abc", "RABBITMQ_URL": "amqp://h/?heartbeat=abc", "DATABASE_URL": "postgres://h/d?sslmode=maybe"} {
		for _, line := range []string{"serve", "serve --work", "work", "migrate up", "seed", "verify", "dead-letters requeue --all"} {
			t.Run(name+", "+line, func(t *testing.T) {
				setup(t, "DATABASE_URL", "postgres://127.0.0.1:1/d", "MANAGEMENT_API_KEY", "k-5f0c2b7e9a1d4c83", "RABBITMQ_URL", "amqp://127.0.0.1:1/", name, wrong)
				code, _, stderr := runLine(t, line)
				require.Equal(t, exitUsage, code, stderr)
				require.Contains(t, stderr, "\n  "+name+": ")
				require.Equal(t, 2, strings.Count(stderr, "\n"), stderr)
			})
		}
	}
}

func TestSQLiteIsForOneProcess(t *testing.T) {
	for _, line := range []string{"serve", "work"} {
		setup(t, "DATABASE_URL", "sqlite://x.db", "MANAGEMENT_API_KEY", "k-5f0c2b7e9a1d4c83", "RABBITMQ_URL", "amqp://127.0.0.1/")
		code, _, stderr := runLine(t, line)
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, "SQLite serves one process")
		require.NoFileExists(t, "x.db", "nothing was started")
	}
}

func TestHelp(t *testing.T) {
	setup(t)
	for _, line := range []string{"", "--help", "help"} {
		code, stdout, stderr := runLine(t, line)
		require.Zero(t, code)
		require.Empty(t, stderr)
		for _, command := range []string{"serve", "work", "migrate", "seed", "dev", "verify", "dead-letters", "version"} {
			require.Contains(t, stdout, "\n  "+command+" ")
		}
	}
}

func TestMigrateAndSeed(t *testing.T) {
	setup(t, "DATABASE_URL", "sqlite://records/gateway.db", "LOG_LEVEL", "error")
	for _, step := range []struct {
		line string
		code int
		says string
	}{
		{"migrate version", exitNotFound, "There is no database records/gateway.db: correct DATABASE_URL, or create it with `gateway migrate up`."},
		{"migrate down --all --yes", exitNotFound, "There is no database"},
		{"seed", exitNotFound, "There is no database"},
		{"migrate up", 0, "the schema is at version"},
		{"migrate up", 0, "the schema is at version"},
		{"seed --callback-base http://127.0.0.1:9/hooks/", 0, "acme: created, delivers to http://127.0.0.1:9/hooks/acme\n"},
		{"seed", 0, "acme: already exists, delivers to http://127.0.0.1:9/hooks/acme\n"},
		{"migrate down --all", exitUsage, "The database records/gateway.db will lose "},
		{"migrate down --steps 2", exitUsage, "not a terminal, so nothing was done: use --yes to confirm"},
		{"migrate force 7", exitUsage, "The database records/gateway.db will be marked as version 7; it is at version "},
		{"seed", 0, "acme: already exists"},
		{"migrate down --all --yes", 0, "the schema is at version 0\n"},
		{"migrate down --all", 0, "the schema is at version 0\n"},
		{"migrate force 1 --yes", 0, "No migration runs."},
		{"migrate version", 0, "1\n"},
		{"migrate force 0 --yes", 0, "it is at version 1"},
		{"seed", exitFailed, "run: gateway migrate up"},
	} {
		code, stdout, stderr := runLine(t, step.line)
		require.Equal(t, step.code, code, "%s: %s", step.line, stderr)
		require.Contains(t, stdout+stderr, step.says, step.line)
	}
	t.Setenv("APP_ENV", "production")
	t.Setenv("SECRETS_KEY", "5f0c2b7e9a1d4c835f0c2b7e9a1d4c83x")
	code, _, stderr := runLine(t, "seed")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "not created in production")
}

func TestTheDemo(t *testing.T) {
	setup(t)
	code, stdout, stderr := runLine(t, "dev --demo")
	require.Zero(t, code, stdout+stderr)
	require.Contains(t, stdout, "4 of 4 as expected.")
	require.Empty(t, stderr, "the failure is part of the demo")
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	require.Empty(t, entries, "it leaves no files")
}

func TestServeShutsDownCleanlyOnSIGTERM(t *testing.T) {
	setup(t, "DATABASE_URL", "sqlite://gateway.db", "MANAGEMENT_API_KEY", "k-5f0c2b7e9a1d4c83", "APP_HOST", "127.0.0.1", "APP_PORT", "0")
	code, _, stderr := runLine(t, "migrate up")
	require.Zero(t, code, stderr)
	ctx, cancel := context.WithCancel(t.Context())
	log := &watched{until: []byte(`"msg":"listening"`), then: cancel}
	require.Zero(t, Run(ctx, []string{"serve", "--work"}, &bytes.Buffer{}, log), "%s", &log.Buffer)
	require.Contains(t, log.String(), `"msg":"stopped"`)
	require.FileExists(t, filepath.Join(".", "gateway.db.lock"))
}

// watched is a log that calls then after a line has been written.
type watched struct {
	bytes.Buffer
	until []byte
	then  func()
}

// Write appends p; slog writes one line at a time.
func (w *watched) Write(p []byte) (int, error) {
	if bytes.Contains(p, w.until) {
		w.then()
	}
	return w.Buffer.Write(p)
}

func TestVersion(t *testing.T) {
	built := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	for _, c := range []struct {
		sentence, release string
		info              *debug.BuildInfo
		want              string
	}{
		{"the release set at build time", "v1.2.3", built("(devel)"), "v1.2.3"},
		{"the version from go install", "", built("v1.2.0"), "v1.2.0"},
		{"the revision of a checkout", "", built("(devel)", debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef"},
			debug.BuildSetting{Key: "vcs.modified", Value: "true"}), "development 0123456789ab with changes"},
		{"nothing", "", nil, "unknown"},
	} {
		t.Run(c.sentence, func(t *testing.T) { require.Equal(t, c.want, versionOf(c.release, c.info)) })
	}
	code, stdout, _ := runLine(t, "version")
	require.Zero(t, code)
	require.True(t, strings.HasPrefix(stdout, "gateway "))
}

func TestAnInvalidProviderIsReportedBeforeAnythingIsOpened(t *testing.T) {
	setup(t, "DATABASE_URL", "postgres://nobody@127.0.0.1:1/none", "RABBITMQ_URL", "amqp://127.0.0.1:1/", "MANAGEMENT_API_KEY", "k-5f0c2b7e9a1d4c83")
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	require.NoError(t, os.WriteFile(path, []byte("providers: {initech: {scheme: hmac, event: {type: $.type}}}\n"), 0o600))
	code, _, stderr := runLine(t, "serve --config "+path)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "providers.initech.signature.header: It is required")
}

func TestErrorsAreEscaped(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitUsage, Run(t.Context(), []string{"no\u202esuch\x1b[2J"}, &stdout, &stderr))
	require.NotContains(t, stderr.String(), "\u202e")
	require.NotContains(t, stderr.String(), "\x1b")
}

// The bounds of waiting for a condition.
const (
	waitLong = 60 * time.Second
	waitStep = 20 * time.Millisecond
)
