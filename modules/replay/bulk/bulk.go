// Package bulk replays many events as one job. It owns replays and replay_sources: what was
// ordered, by whom and why, and how far it is. The requests that it makes, one for each event
// and destination, are the parent's.
//
// A process that works on a replay holds its lease. It reads the events in the order of their
// receipt, page by page, and stores each page's requests, their jobs and the new position in one
// transaction, which commits only while the lease, the position and the status are the ones it
// began with. So a process can die at any point: the next one goes on from the position, and
// nothing is asked for twice. A unique key of replay, event and destination holds that as well.
package bulk

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
)

// Config holds intervals and bounds. New replaces zero values with the defaults.
type Config struct {
	Look  time.Duration // between looks for replays to work on; default 500 ms
	Lease time.Duration // after which another process takes a replay over; default 5 s
	Page  int           // most events of a page; default 500
	Scan  int           // most events that are looked at in one step; default 5,000
	Count time.Duration // how long a dry run counts at most; default 20 s
	Batch int           // events that a dry run normalizes at once, with their bodies; default 64
}

// Events finds the events to replay.
type Events interface {
	// ReplayPage looks at most at limit events after a position, received up to a time, and
	// returns those that match.
	ReplayPage(ctx context.Context, want contract.ReplayEvents, after contract.ReplayPosition, upTo time.Time, limit int) (contract.ReplayPage, error)
	// Renormalize returns the canonical form that each of these events has by the mapping of
	// now, in the order of their ids. It stores nothing.
	Renormalize(ctx context.Context, eventIDs []string) ([]contract.Renormalized, error)
}

// Deliveries finds the deliveries to replay.
type Deliveries interface {
	// ReplayTargets returns the destinations to send these events to, by event.
	ReplayTargets(ctx context.Context, want contract.ReplayDeliveries, eventIDs []string) (map[string][]string, error)
	// ReplayDestination returns a destination's integration, "" for an unknown one, and whether
	// it was removed.
	ReplayDestination(ctx context.Context, destinationID string) (integrationID string, removed bool, err error)
	// CancelReplays ends the waiting jobs of these requests, and returns their number.
	CancelReplays(ctx context.Context, tx *database.Tx, list []contract.ReplayCancel, reason string) (int, error)
}

// Sources resolves sources to their integrations, and omits unknown ones.
type Sources interface {
	IntegrationsOf(ctx context.Context, sources []string) (map[string]string, error)
}

// Requests makes the requests of a replay.
type Requests interface {
	// RequestAll stores and queues a request for each target that the replay has none for, and
	// returns their number.
	RequestAll(ctx context.Context, tx *database.Tx, r contract.BulkReplay, targets []contract.ReplayTarget) (int, error)
	// Open returns the first requests of a replay that have not ended.
	Open(ctx context.Context, replayID string, limit int) ([]contract.ReplayCancel, error)
	// CancelSends ends those of these requests to a URL that wait, and returns their number.
	CancelSends(ctx context.Context, tx *database.Tx, list []contract.ReplayCancel, reason string) (int, error)
}

// URLs holds the URLs, outside the destinations, that replays go to.
type URLs interface {
	// Check returns what is wrong with the fields url and signingSecret of an order.
	Check(url *string, signing *secret.Value) []fault.Field
	// Add stores a replay's URL and seals its signing secret.
	Add(ctx context.Context, tx *database.Tx, replayID, url string, signing secret.Value) error
	// Close erases the signing secrets of ended replays, where they have any.
	Close(ctx context.Context, tx *database.Tx, replayIDs []string) error
}

// Auditor records audit entries in the transaction of the change that they describe.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Deps is everything that bulk replays need from the outside.
type Deps struct {
	DB         *database.DB
	Log        *slog.Logger
	Now        clock.Now // the database's clock, as the processes agree on it
	Events     Events
	Deliveries Deliveries
	Sources    Sources
	Requests   Requests
	URLs       URLs
	Audit      Auditor
}

// Replays orders and carries out bulk replays.
type Replays struct {
	cfg   Config
	d     Deps
	token string         // of this process's leases
	scan  map[string]int // events to look at in the next step, by replay; the runner's alone
}

// New wires the package; it starts nothing.
func New(cfg Config, d Deps) *Replays {
	cfg.Look = cmp.Or(cfg.Look, 500*time.Millisecond)
	cfg.Lease = cmp.Or(cfg.Lease, 5*time.Second)
	cfg.Page = cmp.Or(cfg.Page, 500)
	cfg.Scan = cmp.Or(cfg.Scan, 5000)
	cfg.Count = cmp.Or(cfg.Count, 20*time.Second)
	cfg.Batch = cmp.Or(cfg.Batch, 64)
	d.Log = d.Log.With("module", "replay")
	return &Replays{cfg: cfg, d: d, token: id.New(), scan: map[string]int{}}
}

// Routes registers the routes of bulk replays.
func (m *Replays) Routes(r httpapi.Routes) {
	r.Operator.Scoped().POST("/replays", m.post, postSpec)
	r.Viewer.Scoped().GET("/replays", m.list, listSpec)
	r.Viewer.Scoped().GET("/replays/:id", m.get, getSpec)
	r.Operator.Scoped().POST("/replays/:id/pause", m.pause, operateSpec("Pauses a replay: nothing more is asked for, what waits is still delivered."))
	r.Operator.Scoped().POST("/replays/:id/resume", m.resume, operateSpec("Resumes a paused replay where it stopped."))
	r.Operator.Scoped().POST("/replays/:id/cancel", m.cancel, operateSpec("Ends a replay and its deliveries that wait; those under way are finished."))
}
