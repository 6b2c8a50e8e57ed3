package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"integration-gateway/modules/processes"
	"integration-gateway/platform/config"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/keyring"
	"integration-gateway/platform/secret"
)

// DefaultDataDir is the default folder of `gateway dev`'s records.
const DefaultDataDir = "data"

// databaseName is the file of its records there.
const databaseName = "gateway.db"

// DevOptions are the options of `gateway dev`.
type DevOptions struct {
	DataDir      string // "" for the default
	CallbackBase string // in the form of CallbackBase
	Keep         bool   // a demo goes on, livelier, until it is stopped
	// Announce leaves the running gateway's address and key in the data folder, until forget;
	// nil for nothing.
	Announce func(dataDir, address string, key secret.Value) (forget func(), err error)
	Out      io.Writer
}

// Dev runs everything in this process until ctx ends, on a database file, with a queue and
// a cache in memory.
func Dev(ctx context.Context, cfg config.Config, log *slog.Logger, o DevOptions) error {
	if o.DataDir == "" {
		o.DataDir = DefaultDataDir
	}
	forget := func() {}
	defer func() { forget() }()
	return runDev(ctx, cfg, log, o, func(_ context.Context, d *devSystem) (err error) {
		if o.Announce != nil {
			if forget, err = o.Announce(o.DataDir, d.url(), cfg.ManagementKey); err != nil {
				forget = func() {}
				return err
			}
		}
		_, err = io.WriteString(o.Out, d.greeting(o))
		return err
	})
}

// devSystem is a system of one process that is about to run.
type devSystem struct {
	*system
	cfg     config.Config
	sources []seeded
}

// runDev prepares the data folder, migrates, seeds, calls ready, and runs.
func runDev(ctx context.Context, cfg config.Config, log *slog.Logger, o DevOptions, ready func(context.Context, *devSystem) error) error {
	cfg, err := inFolder(cfg, o.DataDir)
	if err != nil {
		return err
	}
	front := func(g *system) []listener {
		all := g.frontListeners()
		all[0].hint = "; choose another port with --port"
		return all
	}
	prepare := func(ctx context.Context, g *system) (err error) {
		warnOfDemoKey(cfg, log)
		d := &devSystem{system: g, cfg: cfg}
		if d.sources, err = g.seed(ctx, destinationsFor(o.CallbackBase, d.scheme(), d.port())); err != nil {
			return err
		}
		return ready(ctx, d)
	}
	return process{role: processes.RoleBoth, queues: allQueues, migrates: true, answers: front, prepare: prepare}.run(ctx, cfg, log)
}

// inFolder points cfg to the records in dir.
func inFolder(cfg config.Config, dir string) (config.Config, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return cfg, fmt.Errorf("the data folder: %w", err)
	}
	path := filepath.Join(dir, databaseName)
	if err := ownFile(path); err != nil {
		return cfg, err
	}
	cfg.Database.URL = secret.New("sqlite://" + path)
	cfg.Hosts = ownHosts(cfg)
	if cfg.SecretsKey.Empty() {
		path := filepath.Join(dir, secretsKeyFile)
		key, err := keyIn(path)
		if err != nil {
			return cfg, err
		}
		cfg = cfg.WithSecretsKey(key, path)
	}
	return cfg, nil
}

// ownFile creates a file that only its owner can read, or restricts an existing one: it
// contains payloads and headers. SQLite gives the same permissions to its other files.
func ownFile(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("the database: %w", err)
	}
	for _, each := range []string{path, path + "-wal", path + "-shm"} {
		if failed := os.Chmod(each, 0o600); failed != nil && !errors.Is(failed, fs.ErrNotExist) {
			err = errors.Join(err, failed)
		}
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("the database: %w", err)
	}
	return nil
}

// ownHosts returns the gateway's names from the configuration.
func ownHosts(cfg config.Config) []string {
	hosts := []string{}
	if cfg.HTTP.Host != "" {
		hosts = append(hosts, strings.ToLower(cfg.HTTP.Host))
	}
	if u, err := url.Parse(cfg.HTTP.PublicBaseURL); err == nil && u.Hostname() != "" {
		hosts = append(hosts, strings.ToLower(u.Hostname()))
	}
	return hosts
}

// warnOfDemoKey warns if other machines can reach an API that is protected by a well-known
// key.
func warnOfDemoKey(cfg config.Config, log *slog.Logger) {
	ip, err := netip.ParseAddr(cfg.HTTP.Host)
	local := cfg.HTTP.Host == "localhost" || err == nil && ip.IsLoopback()
	if !local && cfg.ManagementKey.Equal(config.DemoKey) {
		log.Warn("other machines can reach this gateway, and its management key is well known: set MANAGEMENT_API_KEY, or unset APP_HOST", "host", cfg.HTTP.Host)
	}
}

// keyIn reads the key in a file, or creates one.
func keyIn(path string) (secret.Value, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte(keyring.NewKey() + "\n")
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return secret.Value{}, fmt.Errorf("read the key for secrets: %w", err)
	}
	return secret.New(strings.TrimSpace(string(text))), nil
}

// migrateFile migrates the database file if necessary.
func migrateFile(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	db, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return err
	}
	if db.CheckSchema(ctx) != nil {
		say := func(format string, args ...any) { log.InfoContext(ctx, fmt.Sprintf(format, args...)) }
		err = migrator(cfg, db, say).Up(ctx)
	}
	return errors.Join(err, db.Close())
}

func (d *devSystem) port() int {
	_, text, _ := net.SplitHostPort(d.server.Addr())
	port, _ := strconv.Atoi(text)
	return port
}

func (d *devSystem) scheme() string {
	if d.cfg.Listeners.Public.Cert != "" {
		return "https"
	}
	return "http"
}

// url is the address of this process on this machine.
func (d *devSystem) url() string {
	host := d.cfg.HTTP.Host
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return d.scheme() + "://" + net.JoinHostPort(host, strconv.Itoa(d.port()))
}

// greeting tells a newcomer what to do next. Its webhook is new at every start.
func (d *devSystem) greeting(o DevOptions) string {
	unique := id.New()[28:]
	body := fmt.Sprintf(`{"eventId":"evt_%s","eventType":"order.created","occurredAt":"%s","data":{"id":"ord_%s","total":"19.90"}}`,
		unique, exampleTime, unique)
	api := d.url() + httpapi.Base
	return fmt.Sprintf(`
The gateway runs in this process; its records are in %[1]s.

Send a webhook, signed for the demo source acme:

  curl -i %[2]s/webhooks/acme -H 'content-type: application/json' \
    -H '%[3]s: %[4]s' \
    -d '%[5]s'

See the result (sending the same eventId again is answered as a duplicate):

  gateway events show evt_%[6]s
  curl -s '%[2]s/events?externalEventId=evt_%[6]s' -H 'x-internal-api-key: %[7]s'

Follow what comes in, in another terminal (the command line finds this gateway in this folder):

  gateway events tail

%[9]sManagement key   %[7]s
acme delivers to %[8]s
Health           %[2]s/health

Press Ctrl-C to stop. After a restart it delivers all accepted events.

`, filepath.Clean(o.DataDir)+string(filepath.Separator), api, acme.header, acme.credential([]byte(body)), body, unique,
		d.shownKey(), strings.Join(d.sources[0].urls, ", "), d.shownConsole())
}

// shownConsole is a link that signs in to the console once.
func (d *devSystem) shownConsole() string {
	if d.console == nil {
		return ""
	}
	return "Console          " + d.url() + d.console.Link() + " (signs in once, within five minutes)\n"
}

// exampleTime is the printed webhook's time.
const exampleTime = "2026-01-05T09:00:00Z"

// shownKey returns the management key if it is the well-known one, or else where it comes
// from.
func (d *devSystem) shownKey() string {
	if d.cfg.ManagementKey.Equal(config.DemoKey) {
		return config.DemoKey
	}
	return "$MANAGEMENT_API_KEY"
}
