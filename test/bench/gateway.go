package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/test/rig"
)

const managementKey = "bench-management-key-91c2"

// gateway is a newly installed gateway: an empty database, and processes that have served
// nothing yet.
type gateway struct {
	dir, addr string
	name      string   // of the database
	env       []string // on servers
	servers   *rig.Servers
	programs  []*rig.Program
	records   *database.DB // on servers
	metrics   []string     // URLs that are scraped
}

// install makes a gateway for one turn, ready to accept webhooks.
func (b *bench) install(ctx context.Context, w workload, turn int) (*gateway, error) {
	g := &gateway{dir: filepath.Join(b.scratch, fmt.Sprintf("turn-%d", turn)), name: fmt.Sprintf("bench_%d", turn)}
	if err := os.Mkdir(g.dir, 0o700); err != nil {
		return g, fmt.Errorf("create the turn's folder: %w", err)
	}
	b.port = rig.FreePort(b.port)
	g.addr = fmt.Sprintf("127.0.0.1:%d", b.port)
	env := append(append(b.environment(g), fmt.Sprintf("APP_PORT=%d", b.port)), w.env...)
	if w.setup == embedded {
		args := []string{"dev", "--data", filepath.Join(g.dir, "data"), "--callback-base", b.receiver.url()}
		return g, b.launch(ctx, g, w, "dev", "http://"+g.addr, env, args...)
	}
	g.servers = b.servers
	records, err := g.createDatabase(ctx)
	if err != nil {
		return g, err
	}
	g.env = slices.Concat(env, []string{"DATABASE_URL=" + records, "REDIS_URL=" + g.servers.URL(rig.Redis), "RABBITMQ_URL=" + g.servers.URL(rig.RabbitMQ)})
	for _, queue := range []string{"process", "retry", "replay", "dead"} {
		g.env = append(g.env, fmt.Sprintf("RABBITMQ_%s_QUEUE=%s.%s", strings.ToUpper(queue), g.name, queue))
	}
	for _, args := range [][]string{{"migrate", "up"}, {"seed", "--callback-base", b.receiver.url()}} {
		if err := runCommand(ctx, b.gateway, g.dir, g.env, args...); err != nil {
			return g, err
		}
	}
	if w.sources > 0 {
		if err := b.createDestinations(ctx, g, w); err != nil {
			return g, err
		}
	}
	if err := b.launch(ctx, g, w, "serve", "http://"+g.addr, g.env, "serve"); err != nil || w.mode == accept {
		return g, err
	}
	return g, b.launchWork(ctx, g, w)
}

func (b *bench) launchWork(ctx context.Context, g *gateway, w workload) error {
	b.port = rig.FreePort(b.port)
	probes := fmt.Sprintf("127.0.0.1:%d", b.port)
	return b.launch(ctx, g, w, "work", "http://"+probes, append(g.env[:len(g.env):len(g.env)], "WORK_HTTP_ADDR="+probes), "work")
}

// environment is the environment of every gateway command. All other settings have their
// defaults, save for the port of the metrics, of which there are two processes'.
func (b *bench) environment(g *gateway) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.dir, "TMPDIR=" + g.dir,
		"APP_ENV=test", "APP_HOST=127.0.0.1", "LOG_FORMAT=json", "LOG_LEVEL=warn", "EGRESS_ALLOW=127.0.0.0/8",
		"MANAGEMENT_API_KEY=" + managementKey, "SECRETS_KEY=a-key-of-the-benchmark-with-32-characters",
		"WEBHOOK_RATE_LIMIT_PER_MINUTE=0", "METRICS_ADDR=127.0.0.1:0",
	}
}

func (b *bench) launch(ctx context.Context, g *gateway, w workload, name, url string, env []string, args ...string) error {
	if b.profile != "" {
		file := fmt.Sprintf("%s-%s-%s-%s.pprof", w.setup, w.mode, w.loop, name)
		env = append(env[:len(env):len(env)], "GATEWAY_CPUPROFILE="+filepath.Join(b.profile, file))
	}
	if w.scrape {
		address := g.addr // of dev, which has one listener
		if w.setup != embedded {
			b.port = rig.FreePort(b.port)
			address = fmt.Sprintf("127.0.0.1:%d", b.port)
			env = append(env[:len(env):len(env)], "METRICS_ADDR="+address)
		}
		g.metrics = append(g.metrics, "http://"+address+"/metrics")
	}
	p, err := rig.Launch(g.dir, name, b.gateway, env, args...)
	if err != nil {
		return err
	}
	g.programs = append(g.programs, p)
	return p.Ready(ctx, url+"/readyz")
}

// runCommand runs a command to its end.
func runCommand(ctx context.Context, binary, dir string, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, binary, args...) //nolint:gosec // our own
	cmd.Dir, cmd.Env = dir, env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(binary), strings.Join(args, " "), err, out)
	}
	return nil
}

func (g *gateway) createDatabase(ctx context.Context) (string, error) {
	if err := g.admin(ctx, "CREATE DATABASE "+g.name); err != nil {
		return "", err
	}
	u, err := databaseURL(g.servers, g.name)
	if err != nil {
		return "", err
	}
	g.records, err = database.Open(database.Config{URL: u}, clock.System)
	return u, err
}

func openAdmin(s *rig.Servers) (*sql.DB, error) { return openAdminOn(s, "postgres") }

func openAdminOn(s *rig.Servers, name string) (*sql.DB, error) {
	u, err := databaseURL(s, name)
	if err != nil {
		return nil, err
	}
	pool, err := sql.Open("postgres", u)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL: %w", err)
	}
	return pool, nil
}

func databaseURL(s *rig.Servers, name string) (string, error) {
	u, err := url.Parse(s.URL(rig.Postgres))
	if err != nil {
		return "", fmt.Errorf("the URL of PostgreSQL: %w", err)
	}
	u.Path = "/" + name
	return u.String(), nil
}

func (g *gateway) admin(ctx context.Context, statement string) error {
	pool, err := openAdmin(g.servers)
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }()
	if _, err := pool.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// stop stops the processes, those that accept webhooks first.
func (g *gateway) stop() error {
	var errs []error
	for _, p := range g.programs {
		errs = append(errs, p.Stop())
	}
	g.programs = nil
	return errors.Join(errs...)
}

// remove stops the processes and deletes the data.
func (g *gateway) remove(ctx context.Context) error {
	errs := []error{g.stop()}
	if g.records != nil {
		errs = append(errs, g.records.Close(), g.admin(ctx, "DROP DATABASE "+g.name+" WITH (FORCE)"), g.flush(ctx))
	}
	return errors.Join(errs...)
}

// flush empties the private Redis.
func (g *gateway) flush(ctx context.Context) error {
	u, err := url.Parse(g.servers.URL(rig.Redis))
	if err != nil {
		return fmt.Errorf("the URL of Redis: %w", err)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return fmt.Errorf("empty Redis: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err = conn.Write([]byte("FLUSHALL\r\n")); err == nil {
		_, err = conn.Read(make([]byte, 64))
	}
	return err
}

const selectKeysSQL = `
SELECT substr(idempotency_key, $1) FROM idempotency_keys WHERE idempotency_key LIKE $2`

// stored returns the numbers of the webhooks in the database.
func (g *gateway) stored(ctx context.Context, mark string) ([]string, error) {
	prefix := "acme:" + mark + "-"
	var list []string
	err := g.records.Select(ctx, &list, selectKeysSQL, len(prefix)+1, prefix+"%")
	return list, err
}
