package app

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/tlsfiles"
)

// migratedConfig returns the configuration of one process on a migrated database file.
func migratedConfig(t *testing.T) config.Config {
	t.Helper()
	cfg, err := inFolder(devConfig(t), t.TempDir())
	require.NoError(t, err)
	require.NoError(t, migrateFile(context.Background(), cfg, quiet))
	return cfg
}

// commands are the entry points of the program, by what they open.
var commands = map[string]func(ctx context.Context, cfg config.Config) error{
	"serve":        func(ctx context.Context, cfg config.Config) error { return Serve(ctx, cfg, quiet, false) },
	"serve --work": func(ctx context.Context, cfg config.Config) error { return Serve(ctx, cfg, quiet, true) },
	"work": func(ctx context.Context, cfg config.Config) error {
		return Work(ctx, cfg, quiet, []contract.Queue{contract.ProcessQueue})
	},
	"dev": func(ctx context.Context, cfg config.Config) error {
		return Dev(ctx, cfg, quiet, DevOptions{DataDir: filepath.Dir(strings.TrimPrefix(cfg.Database.URL.Reveal(), "sqlite://")), Out: io.Discard})
	},
	"a tool with the broker": func(ctx context.Context, cfg config.Config) error {
		g, err := openTool(ctx, cfg, quiet, true)
		if err == nil {
			g.close(quiet)
		}
		return err
	},
	"a tool": func(ctx context.Context, cfg config.Config) error {
		g, err := openTool(ctx, cfg, quiet, false)
		if err == nil {
			g.close(quiet)
		}
		return err
	},
	"migrate": func(ctx context.Context, cfg config.Config) error {
		_, err := MigrateUp(ctx, cfg, quiet, io.Discard)
		return err
	},
}

// A failed constructor left a nil pointer in an interface, which was then closed.
func TestAnInvalidSettingFailsEveryCommandByName(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port
	all := []string{"serve", "serve --work", "work", "a tool", "a tool with the broker"}
	for _, c := range []struct {
		sentence string
		set      func(cfg *config.Config)
		commands []string
		says     string
	}{
		{"a Redis database that is not a number", func(c *config.Config) { c.RedisURL = secret.New("redis://u:hunter2@h:6379/abc") },
			[]string{"serve", "serve --work", "work"}, "REDIS_URL: invalid Redis URL"},
		{"an option that Redis does not know", func(c *config.Config) { c.RedisURL = secret.New("redis://u:hunter2@h?addr=x") },
			[]string{"serve", "serve --work", "work"}, "REDIS_URL: invalid Redis URL"},
		{"a heartbeat that is not a number", func(c *config.Config) { c.RabbitMQ.URL = secret.New("amqp://u:hunter2@h/?heartbeat=abc") },
			[]string{"serve", "serve --work", "work", "a tool with the broker"}, "RABBITMQ_URL: rabbitmq: the URL's heartbeat"},
		{"a parameter without effect", func(c *config.Config) { c.RabbitMQ.URL = secret.New("amqp://u:hunter2@h/?heartbeet=3") },
			[]string{"serve", "serve --work", "work", "a tool with the broker"}, `RABBITMQ_URL: rabbitmq: the URL has a parameter "heartbeet"`},
		{"a broker without a name in a list", func(c *config.Config) { c.RabbitMQ.URL = secret.New("amqp://u:hunter2@a,/") },
			[]string{"serve", "serve --work", "work", "a tool with the broker"}, "RABBITMQ_URL: rabbitmq: the URL has an empty host"},
		{"a Redis cluster's database", func(c *config.Config) { c.RedisURL = secret.New("redis://u:hunter2@a,b/1") },
			[]string{"serve", "serve --work", "work"}, "REDIS_URL: invalid Redis URL: a cluster has only database 0"},
		{"a database URL that the driver refuses", func(c *config.Config) { c.Database.URL = secret.New("postgres://u:hunter2@h/d?sslmode=maybe") },
			append([]string{"migrate"}, all...), `DATABASE_URL: the database URL: wrong value for "sslmode"`},
		{"a database that refuses", func(c *config.Config) { c.Database.URL = secret.New("sqlite:///dev/null/x.db") },
			append([]string{"migrate"}, all...), "DATABASE_URL, or the data folder of gateway dev: "},
		{"an invalid egress proxy", func(c *config.Config) { c.EgressProxy = secret.New("http://u:hunter2%zz@h") },
			append([]string{"dev"}, all...), "EGRESS_PROXY"},
		{"a missing certificate", func(c *config.Config) { c.Listeners.Public = tlsfiles.Paths{Cert: "/nowhere.pem", Key: "/nowhere.key"} },
			append([]string{"dev"}, all...), "TLS_CERT_FILE"},
		{"a missing management certificate", func(c *config.Config) {
			c.ManagementAddr, c.Listeners.Management = "127.0.0.1:0", tlsfiles.Paths{Cert: "/nowhere.pem", Key: "/nowhere.key"}
		}, append([]string{"dev"}, all...), "MANAGEMENT_TLS_CERT_FILE"},
		{"a port in use", func(c *config.Config) { c.HTTP.Port = port }, []string{"serve", "serve --work", "dev"}, "APP_PORT"},
		{"a management address in use", func(c *config.Config) { c.ManagementAddr = taken.Addr().String() },
			[]string{"serve", "serve --work"}, "MANAGEMENT_ADDR"},
		{"a probe address in use", func(c *config.Config) { c.WorkAddr = taken.Addr().String() }, []string{"work"}, "WORK_HTTP_ADDR"},
		{"a metrics address in use", func(c *config.Config) { c.MetricsAddr = taken.Addr().String() },
			[]string{"serve", "serve --work", "work"}, "METRICS_ADDR: listen on " + taken.Addr().String()},
	} {
		for _, command := range c.commands {
			t.Run(c.sentence+", "+command, func(t *testing.T) {
				cfg := migratedConfig(t)
				cfg.HTTP.Port = 0
				c.set(&cfg)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // for commands that start anyway
				defer cancel()
				err := commands[command](ctx, cfg)
				require.ErrorContains(t, err, c.says)
				require.NotContains(t, err.Error(), "hunter2")
			})
		}
	}
}

func TestAllListenersOpenOrNone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	at := func(address string) *httpapi.Server {
		return httpapi.New(httpapi.Config{Addr: address}, httpapi.Deps{Log: quiet, Now: clock.System})
	}
	first := at("127.0.0.1:0")
	err = listen(t.Context(), []listener{
		{Server: first, name: "http", setting: "APP_PORT"},
		{Server: at(taken.Addr().String()), name: "management", setting: "MANAGEMENT_ADDR", hint: "; take another"},
	})
	require.ErrorContains(t, err, "MANAGEMENT_ADDR: ")
	require.ErrorContains(t, err, "; take another")
	again, err := net.Listen("tcp", first.Addr())
	require.NoError(t, err, "the first address is free again")
	require.NoError(t, again.Close())
}

func TestInvalidServerURLsAreFoundBeforeAnythingIsOpened(t *testing.T) {
	cfg := devConfig(t)
	cfg.Database.URL = secret.New("postgres://u:hunter2@h/d?sslmode=maybe")
	cfg.RedisURL = secret.New("redis://u:hunter2@h:6379/abc")
	cfg.RabbitMQ.URL = secret.New("amqp://u:hunter2@h/?channel_max=-1")
	err := CheckServers(cfg)
	var mistakes config.Mistakes
	require.ErrorAs(t, err, &mistakes)
	require.Len(t, mistakes, 3, "all at once")
	require.NotContains(t, err.Error(), "hunter2")
	cfg.Database.URL = secret.New("postgres://u:p@a,b/d?port=5432,5433&sslmode=disable")
	cfg.RedisURL = secret.New("rediss://u:p@h:6379/15?read_timeout=3s")
	cfg.RabbitMQ.URL = secret.New("amqps://u:p@h/v?heartbeat=7&channel_max=100")
	require.NoError(t, CheckServers(cfg))
	require.NoError(t, CheckServers(devConfig(t)), "no servers")
}
