// Package replay lets an operator send an event again. It owns replay_requests: who asked,
// why, and the outcome. It refuses requests without a reason. It does not deliver: the
// delivery module dispatches the requests and reports when they have ended. Its child package
// bulk replays many events as one job, and owns replays; oneoff has requests sent to URLs that
// are no destinations, and owns replay_urls.
package replay

import (
	"context"
	"log/slog"
	"sync"

	"integration-gateway/modules/replay/bulk"
	"integration-gateway/modules/replay/oneoff"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// Events is what replay needs from the module that stores events.
type Events interface {
	// Integration returns the integration and the correlation id of an event;
	// fault.NotFound if there is no such event.
	Integration(ctx context.Context, tx *database.Tx, eventID string) (integrationID string, err error)
	bulk.Events
}

// Scheduler is what replay needs from the module that delivers.
type Scheduler interface {
	// Dispatch puts a request on the replay queue: a row written by tx, published after the
	// commit. fault.Invalid if the destination does not belong to the integration.
	Dispatch(ctx context.Context, tx *database.Tx, o contract.ReplayOrder, integrationID string) error
	// DispatchAll is Dispatch for many orders whose destinations were checked.
	DispatchAll(ctx context.Context, tx *database.Tx, orders []contract.ReplayOrder) error
	bulk.Deliveries
	oneoff.Deliveries
}

// Auditor records audit entries in the transaction of the change that they describe.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Deps is everything replay needs from the outside.
type Deps struct {
	DB        *database.DB
	Log       *slog.Logger
	Now       clock.Now // the database's clock, as the processes agree on it
	Events    Events
	Scheduler Scheduler
	Sources   bulk.Sources
	Sealer    oneoff.Sealer
	Audit     Auditor
}

// Config holds the parts' own.
type Config struct {
	Bulk   bulk.Config
	OneOff oneoff.Config
}

// Module replays events.
type Module struct {
	db        *database.DB
	events    Events
	scheduler Scheduler
	audit     Auditor
	bulk      *bulk.Replays
	sender    *oneoff.Sender
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	m := &Module{db: d.DB, events: d.Events, scheduler: d.Scheduler, audit: d.Audit}
	m.sender = oneoff.New(cfg.OneOff, oneoff.Deps{DB: d.DB, Log: d.Log, Now: d.Now, Deliveries: d.Scheduler, Requests: m, Sealer: d.Sealer})
	m.bulk = bulk.New(cfg.Bulk, bulk.Deps{DB: d.DB, Log: d.Log, Now: d.Now, Events: d.Events, Deliveries: d.Scheduler, Sources: d.Sources,
		Requests: m, URLs: m.sender, Audit: d.Audit})
	return m
}

// SealedURLs are the signing secrets of the URLs that replays go to.
func (m *Module) SealedURLs() *oneoff.Sender { return m.sender }

// ForgetSubject removes a text that is erased from the filters of bulk replays of these integrations, nil
// for all.
func (m *Module) ForgetSubject(ctx context.Context, tx *database.Tx, subject string, integrations []string) error {
	return m.bulk.ForgetSubject(ctx, tx, subject, integrations)
}

// Run works on bulk replays, and sends what goes to URLs, until ctx ends.
func (m *Module) Run(ctx context.Context) error {
	var sending sync.WaitGroup
	sending.Go(func() { _ = m.sender.Run(ctx) }) // it has no error
	err := m.bulk.Run(ctx)
	sending.Wait()
	return err
}

// Routes registers the module's routes.
func (m *Module) Routes(r httpapi.Routes) {
	r.Operator.Scoped().POST("/events/:id/replay", m.post, postSpec)
	r.Viewer.Scoped().GET("/replay-requests", m.list, listSpec)
	r.Viewer.Scoped().GET("/replay-requests/:id", m.get, getSpec)
	m.bulk.Routes(r)
	r.Viewer.Scoped().GET("/replays/:id/events", m.listBulk, bulkListSpec)
}
