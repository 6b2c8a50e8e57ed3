package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"integration-gateway/platform/config"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/keyring"
	"integration-gateway/platform/secret"
)

// DefaultDataDir is where `gateway dev` keeps its records.
const DefaultDataDir = "data"

// DevOptions are what `gateway dev` is told on the command line.
type DevOptions struct {
	DataDir      string // "" for the default
	CallbackBase string // as CallbackBase gives it
	Out          io.Writer
}

// Dev runs everything in this process until ctx ends, on a database file, with a
// queue and a cache in memory.
func Dev(ctx context.Context, cfg config.Config, log *slog.Logger, o DevOptions) error {
	if o.DataDir == "" {
		o.DataDir = DefaultDataDir
	}
	return runDev(ctx, cfg, log, o, func(_ context.Context, d *devSystem) error {
		_, err := io.WriteString(o.Out, d.greeting(o))
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
	unlock, err := lockDatabase(cfg)
	if err != nil {
		return err
	}
	defer unlock()
	if err := migrated(ctx, cfg, log); err != nil {
		return err
	}
	s, err := open(ctx, cfg, log, true)
	if err != nil {
		return err
	}
	defer s.close(log)
	g, err := wire(cfg, s, log)
	if err != nil {
		return err
	}
	if err := g.secrets.CheckKeys(ctx); err != nil {
		return err
	}
	if err := g.server.Listen(ctx); err != nil {
		return fmt.Errorf("%w; choose another port with --port", err)
	}
	d := &devSystem{system: g, cfg: cfg}
	if d.sources, err = g.seed(ctx, destinationsFor(o.CallbackBase, d.scheme(), d.port())); err != nil {
		return err
	}
	if err := g.recover(ctx, cfg); err != nil {
		return err
	}
	if err := ready(ctx, d); err != nil {
		return err
	}
	return g.serve(ctx, cfg, log, allQueues)
}

// inFolder points cfg to the records in dir.
func inFolder(cfg config.Config, dir string) (config.Config, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return cfg, fmt.Errorf("the data folder: %w", err)
	}
	cfg.Database.URL = secret.New("sqlite://" + filepath.Join(dir, "gateway.db"))
	if cfg.SecretsKey.Empty() {
		key, err := keyIn(filepath.Join(dir, "secrets.key"))
		if err != nil {
			return cfg, err
		}
		cfg.SecretsKey = key
	}
	return cfg, nil
}

// keyIn reads the key in a file, or makes one there.
func keyIn(path string) (secret.Value, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte(keyring.NewKey() + "\n")
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return secret.Value{}, fmt.Errorf("the key for secrets: %w", err)
	}
	return secret.New(strings.TrimSpace(string(text))), nil
}

// migrated brings the database file up to date. Most starts find it so.
func migrated(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	db, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return err
	}
	if db.CheckSchema(ctx) != nil {
		err = db.MigrateUp()
	}
	return errors.Join(err, db.Close())
}

func (d *devSystem) port() int {
	_, text, _ := net.SplitHostPort(d.server.Addr())
	port, _ := strconv.Atoi(text)
	return port
}

func (d *devSystem) scheme() string {
	if d.cfg.Doors.Public.Cert != "" {
		return "https"
	}
	return "http"
}

// url is where this process answers on this machine.
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
The gateway runs in this process alone; its records are in %[1]s.

Send a webhook, signed for the demo source acme:

  curl -i %[2]s/webhooks/acme -H 'content-type: application/json' \
    -H '%[3]s: %[4]s' \
    -d '%[5]s'

See what became of it (again: the same eventId is answered as a duplicate):

  curl -s '%[2]s/events?externalEventId=evt_%[6]s' -H 'x-internal-api-key: %[7]s'

Management key   %[7]s
acme delivers to %[8]s
Health           %[2]s/health

Ctrl-C stops it. Started again, it delivers whatever was accepted.

`, filepath.Clean(o.DataDir)+string(filepath.Separator), api, acme.header, acme.credential([]byte(body)), body, unique,
		d.shownKey(), strings.Join(d.sources[0].urls, ", "))
}

// exampleTime is when the printed webhook says that it happened.
const exampleTime = "2026-01-05T09:00:00Z"

// shownKey is the management key when everybody knows it, else where it comes from.
func (d *devSystem) shownKey() string {
	if d.cfg.ManagementKey.Equal(config.DemoKey) {
		return config.DemoKey
	}
	return "$MANAGEMENT_API_KEY"
}
