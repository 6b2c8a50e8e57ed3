package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"integration-gateway/modules/secrets"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/keyring"
)

// stores are the connections that everything stands on.
type stores struct {
	db     *database.DB
	broker broker.Broker
	cache  cache.Cache
	tool   bool // for a command that ends: it publishes nothing itself

	retired []keyring.Retired // what is left of keys that SECRETS_KEY was before
}

// openDatabase waits until the database answers. What waiting cannot mend, such as
// a wrong password or a damaged file, is an error at once.
func openDatabase(ctx context.Context, cfg config.Config, log *slog.Logger) (*database.DB, error) {
	db, err := database.Open(database.Config{URL: cfg.Database.URL.Reveal(), MaxConnections: cfg.Database.MaxConnections}, clock.System)
	if err != nil {
		return nil, err
	}
	err = db.Ping(ctx)
	if fault.Is(err, fault.Unavailable) && !cfg.Database.SQLite() {
		err = db.WaitReady(ctx, log)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the database: %w", err), db.Close())
	}
	return db, nil
}

// open connects to what cfg names. Of the three only the database must be there.
// alone says that this process is the only one of its installation.
func open(ctx context.Context, cfg config.Config, log *slog.Logger, alone bool) (*stores, error) {
	db, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	s := &stores{db: db}
	err = db.CheckSchema(ctx)
	if err == nil {
		s.retired, err = secrets.Retired(ctx, db)
	}
	if err == nil {
		makePartitions(ctx, db, log)
		err = s.openRest(ctx, cfg, log, alone)
	}
	if err != nil {
		s.close(log)
		return nil, err
	}
	return s, nil
}

// makePartitions has them there before the first webhook comes, also when nothing ran for
// long. Where it cannot, those that are there may do, and retention tries again.
func makePartitions(ctx context.Context, db *database.DB, log *slog.Logger) {
	made, err := db.MakePartitions(ctx)
	if err != nil {
		log.ErrorContext(ctx, "making partitions failed", "error", err)
	}
	if len(made) > 0 {
		log.InfoContext(ctx, "made partitions", "partitions", made)
	}
}

func (s *stores) openRest(ctx context.Context, cfg config.Config, log *slog.Logger, alone bool) (err error) {
	if cfg.RabbitMQ.URL.Empty() {
		s.broker = broker.NewMemory(clock.System, nil)
	} else {
		s.broker, err = broker.NewRabbitMQ(rabbitConfig(cfg), log, clock.System)
		if err != nil {
			return fmt.Errorf("RABBITMQ_URL: %w", err)
		}
	}
	switch {
	case !cfg.RedisURL.Empty():
		prefix, err := installation(ctx, s.db)
		if err != nil {
			return err
		}
		s.cache, err = cache.NewRedis(cache.RedisConfig{URL: cfg.RedisURL}, prefix, log)
		if err != nil {
			return fmt.Errorf("REDIS_URL: %w", err)
		}
	case alone:
		s.cache = cache.NewMemory(0, clock.System)
	default:
		log.InfoContext(ctx, "REDIS_URL is not set: the database alone answers repeats, and there are no limits per minute")
		s.cache = cache.None{}
	}
	return nil
}

const selectInstallationSQL = `
SELECT id FROM installation`

// A copy of a database has the same installation id as the original; its oid
// keeps the two apart on one server.
const selectDatabaseSQL = `
SELECT i.id || ':' || d.oid
FROM   installation i, pg_database d
WHERE  d.datname = current_database()`

// installation names this database, so that the markers of another one, such as
// that which it was restored from, are not taken for its own.
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

func rabbitConfig(cfg config.Config) broker.RabbitMQConfig {
	return broker.RabbitMQConfig{URL: cfg.RabbitMQ.URL.Reveal(), Names: queueNames(cfg), QueueType: cfg.RabbitMQ.QueueType}
}

func queueNames(cfg config.Config) broker.Names {
	return broker.Names{Process: cfg.RabbitMQ.Process, Retry: cfg.RabbitMQ.Retry, Replay: cfg.RabbitMQ.Replay, Dead: cfg.RabbitMQ.Dead}
}

// close ends the connections, the database's last: the others may want to note
// something.
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
