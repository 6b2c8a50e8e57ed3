package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// openTool builds the system for a short-lived command on the records. Nothing is started,
// and running processes publish what it queues. withBroker says that it uses RabbitMQ, if
// configured.
func openTool(ctx context.Context, cfg config.Config, log *slog.Logger, withBroker bool) (*system, error) {
	db, err := openForTool(ctx, cfg, log, toolPatience)
	if err != nil {
		return nil, err
	}
	s, err := openedRecords(ctx, db, log)
	if err != nil {
		return nil, err
	}
	s.cache, s.broker, s.tool = cache.None{}, noBroker{}, true
	if withBroker && !cfg.RabbitMQ.URL.Empty() {
		s.broker, err = openBroker(cfg, log, true)
	}
	var g *system
	if err == nil {
		g, err = wire(cfg, s, log)
	}
	if err != nil {
		s.close(log)
		return nil, err
	}
	return g, nil
}

// toolPatience is how long a short-lived command waits for the database, while a process
// waits until it answers.
const toolPatience = 10 * time.Second

// openForTool opens the database for a short-lived command: it gives up after patience, and
// does not create a missing file.
func openForTool(ctx context.Context, cfg config.Config, log *slog.Logger, patience time.Duration) (*database.DB, error) {
	if err := requireFile(cfg); err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	db, err := openDatabase(waiting, cfg, log)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		return nil, fault.Unavailable.Wrap(err, "database_unreachable", "The database did not answer within %s; check DATABASE_URL and that the server runs", patience)
	}
	return db, err
}

// requireFile refuses a database file that does not exist: it would be created empty for
// every typing mistake.
func requireFile(cfg config.Config) error {
	if !cfg.Database.SQLite() {
		return nil
	}
	path := databaseFile(cfg)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fault.NotFound.New("no_database", "There is no database %s: correct DATABASE_URL, or create it with `gateway migrate up`.", path)
	}
	return nil
}

// databaseFile is the path of an SQLite database.
func databaseFile(cfg config.Config) string {
	return strings.TrimPrefix(cfg.Database.URL.Reveal(), "sqlite://")
}

// secretsKeyFile is the name of the key that gateway dev keeps beside its database.
const secretsKeyFile = "secrets.key"

// WithKeyBesideDatabase returns cfg with the key for secrets that is beside an SQLite
// database, if no other is set.
func WithKeyBesideDatabase(cfg config.Config) (config.Config, error) {
	if !cfg.Database.SQLite() || !cfg.SecretsKey.Empty() {
		return cfg, nil
	}
	path := filepath.Join(filepath.Dir(databaseFile(cfg)), secretsKeyFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return cfg, nil
	}
	key, err := keyIn(path)
	if err != nil {
		return cfg, err
	}
	return cfg.WithSecretsKey(key, path), nil
}

// printJSON prints the output of commands with --json.
func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// noBroker is the broker of a command without one: an in-process queue would lose its
// messages.
type noBroker struct{}

func (noBroker) err() error {
	return fault.Unavailable.New("no_broker", "There is no broker: set RABBITMQ_URL, or use the running gateway's API.")
}

func (b noBroker) Publish(_ context.Context, messages []broker.Message) []error {
	errs := make([]error, len(messages))
	for i := range errs {
		errs[i] = b.err()
	}
	return errs
}

func (b noBroker) Consume(context.Context, broker.Queue, int, func(broker.Delivery)) error {
	return b.err()
}
func (b noBroker) Ping(context.Context) error                       { return b.err() }
func (b noBroker) Depth(context.Context, broker.Queue) (int, error) { return 0, b.err() }
func (noBroker) Status() broker.Status                              { return broker.Status{} }
func (noBroker) Lost() <-chan broker.Queue                          { return nil }
func (noBroker) Close() error                                       { return nil }

// ValidID reports whether text can be the id of a record, and returns it as stored.
func ValidID(text string) (string, bool) {
	text = strings.ToLower(text)
	return text, id.Valid(text)
}
