// Package follow streams what happens to events to the clients of GET /events/stream, as
// server-sent events. It owns no records: it reads the audit trail by id, so it shows what
// any process did. One poller reads for all clients of a process, and only while there are
// some.
//
// Ids of the trail are made before the commit, so rows become visible out of order. The
// poller therefore reads the ids of the last Config.Settle again and again, and shows those
// that it has not seen. A row that commits within Settle after its id was made, differences
// of clocks included, is never missed; one that commits later is not shown. A client resumes
// at a position that is Settle before what it saw last, so it gets that time's messages
// again: a message's id tells them apart.
package follow

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/httpapi"
)

// Config bounds the streams. New replaces zero values with the defaults.
type Config struct {
	MaxClients int           // of this process; default 16
	Every      time.Duration // between reads; default 500 ms
	Settle     time.Duration // see the package; default 30 s
	Heartbeat  time.Duration // between comments on a silent stream; default 15 s
	Buffer     int           // messages that may wait for one client; default 4096
}

// Trail is what follow needs of the audit trail.
type Trail interface {
	// RowsAfter returns the first rows with greater ids, oldest first.
	RowsAfter(ctx context.Context, after string, limit int) ([]contract.TrailRow, error)
	// EntriesOf returns the entries of rows, row by row; none of rows that were removed.
	EntriesOf(ctx context.Context, rows []contract.TrailRow) ([]contract.TrailEntry, error)
}

// Events is what follow needs of the module that stores events.
type Events interface {
	// Summaries returns events by id. It omits those that do not exist any more.
	Summaries(ctx context.Context, ids []string) (map[string]contract.EventSummary, error)
}

// Deps is everything follow needs from the outside.
type Deps struct {
	Log    *slog.Logger
	Now    clock.Now
	Trail  Trail
	Events Events
}

// Module is the follow module.
type Module struct {
	cfg Config
	d   Deps

	mu      sync.Mutex
	open    int // streams, also those that do not follow the poller yet
	clients map[*client]bool
	poller  *poller // nil while nobody follows
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	if cfg.MaxClients == 0 {
		cfg.MaxClients = 16
	}
	if cfg.Every == 0 {
		cfg.Every = 500 * time.Millisecond
	}
	if cfg.Settle == 0 {
		cfg.Settle = 30 * time.Second
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = 15 * time.Second
	}
	if cfg.Buffer == 0 {
		cfg.Buffer = 4096
	}
	d.Log = d.Log.With("module", "follow")
	return &Module{cfg: cfg, d: d, clients: map[*client]bool{}}
}

// Routes registers the module's routes.
func (m *Module) Routes(r httpapi.Routes) {
	r.Viewer.Scoped().GET("/events/stream", m.stream, streamSpec)
}
