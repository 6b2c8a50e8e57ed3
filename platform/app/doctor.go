package app

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"integration-gateway/modules/secrets"
	"integration-gateway/platform/app/doctor"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/tlsfiles"
)

// DoctorOptions are the options of `gateway doctor`.
type DoctorOptions struct {
	Role     string // of the process that cfg is for: serve, work, both or dev
	Mistakes config.Mistakes
	Timeout  time.Duration // of each check
}

// Examine examines the installation that cfg describes, as far as it could be read. It changes
// nothing.
func Examine(ctx context.Context, cfg config.Config, o DoctorOptions) []doctor.Finding {
	x := &examination{cfg: cfg, log: slog.New(slog.DiscardHandler)}
	first := []doctor.Check{
		{Name: "settings", Run: func(context.Context) []doctor.Finding {
			return doctor.Settings(cfg, o.Role, o.Mistakes, config.Misspelt(os.Environ()))
		}},
		{Name: "database", Run: x.openDatabase},
		{Name: "broker", Run: x.broker},
		{Name: "cache", Run: x.cache},
		{Name: "disk", Run: x.disk},
		{Name: "certificates", Run: x.certificates},
		{Name: "exposure", Run: func(context.Context) []doctor.Finding { return doctor.Exposure(cfg, o.Role) }},
	}
	found := doctor.Run(ctx, o.Timeout, first)
	rest := []doctor.Check{
		{Name: "schema", Run: x.schema}, {Name: "clock", Run: x.clock}, {Name: "keys", Run: x.keys},
		{Name: "egress", Run: x.egress}, {Name: "processes", Run: x.processes},
	}
	db, current := x.state()
	if db != nil {
		defer func() { _ = db.Close() }()
	}
	for i, c := range rest {
		switch {
		case db == nil:
			rest[i].Run = func(context.Context) []doctor.Finding { return doctor.Skipped("database") }
		case !current && c.Name != "schema" && c.Name != "clock":
			rest[i].Run = func(context.Context) []doctor.Finding { return doctor.Skipped("schema") }
		}
	}
	return append(found, doctor.Run(ctx, o.Timeout, rest)...)
}

// OfDataFolder points cfg to the records of `gateway dev` in a folder, if there are any. The
// folder "" means the file of DATABASE_URL.
func OfDataFolder(cfg config.Config, dir string, named secret.Value) (config.Config, error) {
	cfg.Database.URL = named
	if dir != "" {
		path := filepath.Join(dir, databaseName)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return cfg, nil
		}
		cfg.Database.URL = secret.New("sqlite://" + path)
	}
	return WithKeyBesideDatabase(cfg)
}

// examination is one run of the doctor.
type examination struct {
	cfg config.Config
	log *slog.Logger

	mu      sync.Mutex
	opened  *database.DB // nil until it answers
	current bool         // it has the tables that this program needs
}

// state returns the database, nil until it answers, and whether it has the tables.
func (x *examination) state() (db *database.DB, current bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.opened, x.current
}

func (x *examination) database() *database.DB {
	db, _ := x.state()
	return db
}

func (x *examination) openDatabase(ctx context.Context) []doctor.Finding {
	if x.cfg.Database.URL.Empty() {
		return doctor.DatabaseAway(errors.New("DATABASE_URL is not set, and there are no records of gateway dev here"), true)
	}
	local := x.cfg.Database.SQLite()
	deadline, _ := ctx.Deadline()
	db, err := openForTool(ctx, x.cfg, x.log, time.Until(deadline)*9/10)
	if err != nil {
		return doctor.DatabaseAway(err, local)
	}
	i, err := db.Inspect(ctx)
	if err != nil {
		return doctor.DatabaseAway(errors.Join(err, db.Close()), local)
	}
	current := db.CheckSchema(ctx) == nil
	x.mu.Lock()
	x.opened, x.current = db, current
	x.mu.Unlock()
	pool := doctor.Pool{Each: x.cfg.Database.MaxConnections}
	var write doctor.Write
	if current {
		write = doctor.Write{Tried: true, Err: db.CheckWritable(ctx)}
		running, _ := x.running(ctx, db) // a check of its own tells why they cannot be read
		pool.Processes = len(running)
	}
	found := doctor.Database(i, write, pool, remote(x.cfg))
	if local {
		if info, err := os.Stat(databaseFile(x.cfg)); err == nil {
			found = append(found, doctor.File(info.Mode())...)
		}
	}
	return found
}

// remote reports whether the database's server is on another machine.
func remote(cfg config.Config) bool {
	u, err := url.Parse(cfg.Database.URL.Reveal())
	if err != nil {
		return true // several hosts
	}
	switch u.Hostname() {
	case "", "localhost", "127.0.0.1", "::1":
		return false
	}
	return true
}

func (x *examination) broker(ctx context.Context) []doctor.Finding {
	if x.cfg.RabbitMQ.URL.Empty() {
		return doctor.NoBroker()
	}
	opened, err := openBroker(x.cfg, x.log, true)
	if err != nil {
		return doctor.Broker(broker.Inspection{}, err)
	}
	defer func() { _ = opened.Close() }()
	rabbit, is := opened.(*broker.RabbitMQ)
	if !is {
		return doctor.NoBroker()
	}
	return doctor.Broker(rabbit.Inspect(ctx))
}

func (x *examination) cache(ctx context.Context) []doctor.Finding {
	if x.cfg.RedisURL.Empty() {
		return doctor.NoCache(!x.cfg.RabbitMQ.URL.Empty())
	}
	opened, err := openCache(x.cfg, "ig:doctor", x.log)
	if err != nil {
		return doctor.Cache(cache.Inspection{}, err)
	}
	defer func() { _ = opened.Close() }()
	return doctor.Cache(opened.(*cache.Redis).Inspect(ctx)) //nolint:errcheck,forcetypeassert // openCache makes no other
}

func (x *examination) disk(context.Context) []doctor.Finding {
	if !x.cfg.Database.SQLite() {
		return []doctor.Finding{{Status: doctor.OK, Text: "the records are on the database's server, whose disk it watches itself"}}
	}
	return doctor.Disk(doctor.Free(filepath.Dir(databaseFile(x.cfg))))
}

func (x *examination) certificates(context.Context) []doctor.Finding {
	paths := map[string]tlsfiles.Paths{"TLS_CERT_FILE": x.cfg.Listeners.Public}
	if own := x.cfg.Listeners.Management; own.Cert != x.cfg.Listeners.Public.Cert {
		paths["MANAGEMENT_TLS_CERT_FILE"] = own
	}
	return doctor.Certificates(paths, clock.System())
}

func (x *examination) schema(ctx context.Context) []doctor.Finding {
	s, err := x.database().Schema(ctx)
	found := doctor.Schema(s, err)
	if err != nil || s.Version == 0 {
		return found
	}
	ends, err := x.database().PartitionEnds(ctx)
	var first time.Time
	for _, end := range ends {
		if first.IsZero() || end.Before(first) {
			first = end
		}
	}
	return append(found, doctor.Partitions(first.Sub(clock.System()), len(ends) > 0, err)...)
}

func (x *examination) clock(ctx context.Context) []doctor.Finding {
	return doctor.Clock(x.database().SyncClock(ctx))
}

func (x *examination) keys(ctx context.Context) []doctor.Finding {
	g, err := x.system(ctx)
	if err != nil {
		return []doctor.Finding{{Status: doctor.Fail, Text: err.Error(), Fix: "see the schema and the settings"}}
	}
	missing := g.secrets.CheckKeys(ctx)
	opened, err := g.secrets.Open(ctx)
	return doctor.Keys(!x.cfg.SecretsKey.Empty(), missing, opened, err)
}

// system wires the modules on the database, without a broker and a cache.
func (x *examination) system(ctx context.Context) (*system, error) {
	db := x.database()
	known, err := secrets.Retired(ctx, db)
	if err != nil {
		return nil, err
	}
	return wire(x.cfg, &stores{db: db, broker: noBroker{}, cache: cache.None{}, tool: true, retired: known}, x.log)
}
