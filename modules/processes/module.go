// Package processes tracks which processes of this installation are alive. It owns
// processes and database_rewinds.
//
// Each process updates a row of its own twice a second, over a connection that nothing else
// uses. A process whose heartbeat stops while others continue is considered dead: its
// claims are reclaimed within seconds instead of after the longest lease. The heartbeat is
// a write, so it also shows whether the database accepts writes, and it detects when the
// database has lost committed data.
package processes

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// The roles of a process, as the API shows them.
const (
	RoleServe = "serve" // accepts webhooks
	RoleWork  = "work"  // delivers
	RoleBoth  = "both"  // does both
)

// Config describes this process. New replaces zero durations with the defaults.
type Config struct {
	Role    string
	Version string

	Every     time.Duration // between heartbeats; default 500 ms
	DeadAfter time.Duration // without a heartbeat, while this process could read them; default 3 s
	Timeout   time.Duration // for one heartbeat; default 1.5 s
}

// Reclaimer reclaims the jobs of a dead process.
type Reclaimer interface {
	// Reclaim requeues the jobs that the process with that id had claimed. It may be called
	// more than once.
	Reclaim(ctx context.Context, process string) error
}

// Auditor writes audit entries with the rows of a transaction.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Deps is everything processes needs from the outside.
type Deps struct {
	DB        *database.DB
	Log       *slog.Logger
	Cache     cache.Cache // remembers the last heartbeat across restarts
	Reclaimer Reclaimer
	Audit     Auditor
	// Beat takes the result of each heartbeat: whether the database accepted it; nil for nobody.
	Beat func(accepted bool)
}

// Module is the processes module.
type Module struct {
	cfg  Config
	d    Deps
	db   *database.DB // over the spare connection
	host string

	beatMu  sync.Mutex // one heartbeat at a time; guards the next three
	rewinds []span     // detected and not yet recorded
	server  string     // see database.DB.Server
	skewed  bool       // a wrong clock was logged

	mu       sync.Mutex
	self     row // as last written
	alive    []row
	silent   bool // a worker was declared dead within silentFor
	detector failureDetector
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	if cfg.Every == 0 {
		cfg.Every = 500 * time.Millisecond
	}
	if cfg.DeadAfter == 0 {
		cfg.DeadAfter = 3 * time.Second
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 1500 * time.Millisecond
	}
	d.Log = d.Log.With("module", "processes")
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	m := &Module{cfg: cfg, d: d, db: d.DB.Spare(), host: host, detector: newFailureDetector(cfg.DeadAfter)}
	m.self = m.newRow()
	return m
}

// Routes registers the module's part of the API.
func (m *Module) Routes(r httpapi.Routes) {
	r.Viewer.GET("/processes", m.list, listSpec)
}

// Process returns the id of this process. It changes when others considered the process
// dead.
func (m *Module) Process() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.self.ID
}

// ClockAhead returns how far this machine's clock was ahead of the database's at the last
// heartbeat.
func (m *Module) ClockAhead() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Duration(m.self.ClockAheadMS) * time.Millisecond
}

// Share returns this process's rank, from 0, among the live processes that deliver, and
// their number, which is at least one (itself).
func (m *Module) Share() (rank, workers int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.alive {
		if p.Role == RoleServe || p.ID == m.self.ID {
			continue
		}
		workers++
		if p.ID < m.self.ID {
			rank++
		}
	}
	return rank, workers + 1
}

// silentFor is how long a process that was declared dead may still hold messages: the
// broker notices a silent host by its heartbeats, which takes up to 15 seconds.
const silentFor = 30 * time.Second

// Silent reports whether a worker was declared dead so recently that the broker may still
// send messages to it.
func (m *Module) Silent() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.silent
}

// Ready returns nil if the database accepts writes: it writes a heartbeat.
func (m *Module) Ready(ctx context.Context) error { return m.beat(ctx) }
