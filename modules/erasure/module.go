// Package erasure removes data from the records: of the events of a subject, of events by their
// ids, and of events that hold a value at given JSON paths. It leaves the audit trail unchanged. It
// owns erasures and erasure_sources: what was ordered, and how far it is. The modules that own an
// event's records remove them, in one transaction per batch of events with the erasure's counts.
//
// A process that works on an erasure holds its lease. It goes through the quarantine, and then
// through the events in the order of their receipt, piece by piece. A process can die at any point:
// the next one goes on from the last piece.
package erasure

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
)

// Events is what erasure needs from the module that stores events.
type Events interface {
	// ErasurePage looks at most at limit events after a position, received up to a time, and
	// returns those that match: by what holds says of their content, if it is not nil.
	ErasurePage(ctx context.Context, want contract.ErasureScan, holds func(provider.Request) (found, read bool), after contract.ReplayPosition, upTo time.Time, limit int) (contract.ErasurePage, error)
	// ErasureEvents returns those of these events that exist, erased or not.
	ErasureEvents(ctx context.Context, eventIDs []string) ([]contract.ErasureEvent, error)
	// OthersOf returns the other events whose original body goes when these are erased.
	OthersOf(ctx context.Context, eventIDs []string) (ids []string, err error)
	// LockStates locks and returns the events' states, in id order.
	LockStates(ctx context.Context, tx *database.Tx, eventIDs []string) ([]contract.EventState, error)
	// Forget removes the content of locked events and of the webhooks whose bodies have it. It
	// returns the number of webhooks.
	Forget(ctx context.Context, tx *database.Tx, eventIDs []string) (webhooks int, err error)
	// MarkErasure says what is about to be searched for. What was received before the order and is
	// stored afterwards is held against it.
	MarkErasure(ctx context.Context, mark contract.ErasureMark) error
	// RemoveErasureMarks undoes MarkErasure.
	RemoveErasureMarks(ctx context.Context, tx *database.Tx, erasureID string) error
	// ErasureRefused looks at about limit requests in quarantine after an id, "" for the first, and
	// returns those that mention the text or, if it is not nil, match holds.
	ErasureRefused(ctx context.Context, want contract.ErasureScan, text string, holds func(provider.Request) (found, read bool), after string, limit int) (contract.ErasureRefused, error)
	// RemoveRefused deletes requests from quarantine, and returns their number.
	RemoveRefused(ctx context.Context, tx *database.Tx, quarantineIDs []string) (n int, err error)
}

// Deliveries is what erasure needs from the module that delivers.
type Deliveries interface {
	// Forget ends the deliveries of events whose states tx has locked, and removes the
	// destinations' responses.
	Forget(ctx context.Context, tx *database.Tx, states []contract.EventState) (contract.ErasureCounts, error)
}

// Replays is what erasure needs from the module that replays.
type Replays interface {
	// ForgetSubject removes a text from what replays of these integrations, nil for all, were ordered
	// for.
	ForgetSubject(ctx context.Context, tx *database.Tx, subject string, integrations []string) error
}

// Sources resolves sources to their integrations, and omits unknown ones.
type Sources interface {
	IntegrationsOf(ctx context.Context, sources []string) (map[string]string, error)
}

// Auditor writes audit entries with the rows of a transaction.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Digester makes keyed hashes.
type Digester interface {
	Digest(text string) string
}

// Config holds intervals and bounds. New replaces zero values with the defaults.
type Config struct {
	Batch int           // events in one transaction; default 100
	Scan  int           // events that are looked at in one step; default 5,000
	Read  int           // the same, if their contents are read; default 500
	Look  time.Duration // between looks for erasures to work on; default 2 s
	Lease time.Duration // after which another process takes an erasure over; default 30 s
	Count time.Duration // how long a dry run of the API counts at most; default 20 s
}

// Deps is everything erasure needs from the outside.
type Deps struct {
	DB         *database.DB
	Log        *slog.Logger
	Now        clock.Now // the database's clock, as the processes agree on it
	Events     Events
	Deliveries Deliveries
	Replays    Replays
	Sources    Sources
	Audit      Auditor
	Digester   Digester
	// Settled reports whether everything that was received earlier is stored, so that an erasure
	// finds it; nil if it always is.
	Settled func(ctx context.Context) bool
}

// Module orders erasures and carries them out.
type Module struct {
	cfg   Config
	d     Deps
	token string // of this process's leases
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	cfg.Batch = cmp.Or(cfg.Batch, 100)
	cfg.Scan = cmp.Or(cfg.Scan, 5000)
	cfg.Read = cmp.Or(cfg.Read, 500)
	cfg.Look = cmp.Or(cfg.Look, 2*time.Second)
	cfg.Lease = cmp.Or(cfg.Lease, 30*time.Second)
	cfg.Count = cmp.Or(cfg.Count, 20*time.Second)
	d.Log = d.Log.With("module", "erasure")
	return &Module{cfg: cfg, d: d, token: id.New()}
}

// Routes registers the module's routes.
func (m *Module) Routes(r httpapi.Routes) {
	r.Admin.Scoped().POST("/erasures", m.post, postSpec)
	r.Viewer.Scoped().GET("/erasures", m.list, listSpec)
	r.Viewer.Scoped().GET("/erasures/:id", m.get, getSpec)
	r.Admin.Scoped().POST("/erasures/:id/cancel", m.cancel, cancelSpec)
}
