package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"integration-gateway/modules/secrets"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/keyring"
	"integration-gateway/platform/tracing"
)

// stores are the connections to the database, the broker and the cache.
type stores struct {
	db     *database.DB
	broker broker.Broker
	cache  cache.Cache
	tool   bool   // for a short-lived command: it publishes nothing itself
	role   string // of the process, as in package processes; "" for a tool

	traces *tracing.Tracer // nil while they are off

	standIn func() // ends what answers for the process while it opens

	retired []keyring.Retired // the retired keys
}

// openDatabase waits until the database answers. Errors that waiting cannot fix, such as a
// wrong password or a damaged file, are returned immediately.
func openDatabase(ctx context.Context, cfg config.Config, log *slog.Logger) (*database.DB, error) {
	db, err := database.Open(database.Config{URL: cfg.Database.URL.Reveal(), MaxConnections: cfg.Database.MaxConnections}, clock.System)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", databaseSetting(cfg), err)
	}
	err = db.Ping(ctx)
	if fault.Is(err, fault.Unavailable) && !cfg.Database.SQLite() {
		err = db.WaitReady(ctx, log)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: open the database: %w", databaseSetting(cfg), err), db.Close())
	}
	return db, nil
}

// databaseSetting names the setting with the database's address.
func databaseSetting(cfg config.Config) string {
	if cfg.Database.SQLite() {
		return "DATABASE_URL, or the data folder of gateway dev"
	}
	return "DATABASE_URL"
}

// CheckServers finds server addresses that their drivers refuse, before anything is opened:
// creating a driver does not connect. Its error is config.Mistakes.
func CheckServers(cfg config.Config) error {
	log := slog.New(slog.DiscardHandler)
	var wrong config.Mistakes
	note := func(name string, err error, closing func() error, fix string) {
		if err == nil {
			err = closing()
		}
		if err != nil {
			wrong = append(wrong, config.Mistake{Name: name, Problem: strings.TrimPrefix(err.Error(), name+": "), Fix: fix})
		}
	}
	if !cfg.Database.URL.Empty() && !cfg.Database.SQLite() {
		db, err := database.Open(database.Config{URL: cfg.Database.URL.Reveal()}, clock.System)
		note("DATABASE_URL", err, func() error { return db.Close() }, "write postgres://user:password@host:5432/name?sslmode=require")
	}
	if !cfg.RabbitMQ.URL.Empty() {
		b, err := openBroker(cfg, log, true)
		note("RABBITMQ_URL", err, func() error { return b.Close() }, "write amqp://user:password@host:5672/")
	}
	if !cfg.RedisURL.Empty() {
		c, err := openCache(cfg, "", log)
		note("REDIS_URL", err, func() error { return c.Close() }, "write redis://user:password@host:6379/0")
	}
	if len(wrong) > 0 {
		return wrong
	}
	return nil
}

// openRecords opens only the database, and requires this program's schema.
func openRecords(ctx context.Context, cfg config.Config, log *slog.Logger) (*stores, error) {
	db, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	return openedRecords(ctx, db, log)
}

// openedRecords requires this program's schema, and closes db otherwise.
func openedRecords(ctx context.Context, db *database.DB, log *slog.Logger) (*stores, error) {
	s := &stores{db: db}
	err := db.CheckSchema(ctx)
	if err == nil {
		s.retired, err = secrets.Retired(ctx, db)
	}
	if err != nil {
		s.close(log)
		return nil, err
	}
	return s, nil
}

// open connects to the servers in cfg. Only the database has to be available. alone says
// that this is the only process of its installation.
func open(ctx context.Context, cfg config.Config, log *slog.Logger, alone bool) (*stores, error) {
	s, err := openRecords(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	return s.complete(ctx, cfg, log, alone)
}

// complete creates partitions and connects to the other servers; it closes s if that fails.
func (s *stores) complete(ctx context.Context, cfg config.Config, log *slog.Logger, alone bool) (*stores, error) {
	createPartitions(ctx, s.db, log)
	if err := s.openRest(ctx, cfg, log, alone); err != nil {
		s.close(log)
		return nil, err
	}
	return s, nil
}

// createPartitions creates missing partitions before the first webhook arrives, also if
// nothing ran for a long time. If that fails, the existing ones may be enough, and
// retention tries again.
func createPartitions(ctx context.Context, db *database.DB, log *slog.Logger) {
	made, err := db.CreatePartitions(ctx)
	if err != nil {
		log.ErrorContext(ctx, "creating partitions failed", "error", err)
	}
	if len(made) > 0 {
		log.InfoContext(ctx, "created partitions", "partitions", made)
	}
}

func (s *stores) openRest(ctx context.Context, cfg config.Config, log *slog.Logger, alone bool) (err error) {
	if s.broker, err = openBroker(cfg, log, false); err != nil {
		return err
	}
	switch {
	case !cfg.RedisURL.Empty():
		prefix, err := installation(ctx, s.db)
		if err != nil {
			return err
		}
		s.cache, err = openCache(cfg, prefix, log)
		return err
	case alone:
		s.cache = cache.NewMemory(0, clock.System)
	default:
		log.InfoContext(ctx, "REDIS_URL is not set: only the database detects duplicates, and rate limits are off")
		s.cache = cache.None{}
	}
	return nil
}

// openBroker does not connect. With an error it returns a nil interface: a nil pointer in
// an interface would be closed later.
func openBroker(cfg config.Config, log *slog.Logger, passive bool) (broker.Broker, error) {
	if cfg.RabbitMQ.URL.Empty() {
		return broker.NewMemory(clock.System, nil), nil
	}
	b, err := broker.NewRabbitMQ(broker.RabbitMQConfig{URL: cfg.RabbitMQ.URL.Reveal(), Names: queueNames(cfg),
		QueueType: cfg.RabbitMQ.QueueType, SpoolBytes: cfg.RabbitMQ.Spool.MaxBytes, Passive: passive}, log, clock.System)
	if err != nil {
		return nil, fmt.Errorf("RABBITMQ_URL: %w", err)
	}
	return b, nil
}

// openCache does not connect, and returns a nil interface with its error.
func openCache(cfg config.Config, prefix string, log *slog.Logger) (cache.Cache, error) {
	c, err := cache.NewRedis(cache.RedisConfig{URL: cfg.RedisURL}, prefix, log)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	return c, nil
}

const selectInstallationSQL = `
SELECT id FROM installation`

// A copy of a database has the original's installation id; its oid distinguishes the two on
// one server.
const selectDatabaseSQL = `
SELECT i.id || ':' || d.oid
FROM   installation i, pg_database d
WHERE  d.datname = current_database()`

// installation identifies this database, so that the cache entries of another one, such as
// the one it was restored from, are not used.
func installation(ctx context.Context, db *database.DB) (string, error) {
	query := selectInstallationSQL
	if db.Dialect.Name == "postgres" {
		query = selectDatabaseSQL
	}
	var name string
	if err := db.Get(ctx, &name, query); err != nil {
		return "", fmt.Errorf("read the installation's id: %w", err)
	}
	return "ig:" + name, nil
}

func queueNames(cfg config.Config) broker.Names {
	return broker.Names{Process: cfg.RabbitMQ.Process, Retry: cfg.RabbitMQ.Retry, Replay: cfg.RabbitMQ.Replay, Dead: cfg.RabbitMQ.Dead, Spool: cfg.RabbitMQ.Spool.Queue}
}

// close closes the connections, the database's last, since the others may still write.
func (s *stores) close(log *slog.Logger) {
	var errs []error
	if s.cache != nil {
		errs = append(errs, s.cache.Close())
	}
	if s.broker != nil {
		errs = append(errs, s.broker.Close())
	}
	errs = append(errs, s.db.Close())
	if err := errors.Join(errs...); err != nil {
		log.Warn("closing connections failed", "error", err)
	}
}
