// Package replay lets an operator send an event again. It owns replay_requests:
// who asked, why, and what became of it. It refuses requests without a reason, and
// it does not deliver: delivery dispatches what is ordered here and says when it
// has ended.
package replay

import (
	"context"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// Events is what replay needs from whoever stores events.
type Events interface {
	// Integration gives the integration and the correlation id of an event;
	// fault.NotFound when there is no such event.
	Integration(ctx context.Context, tx *database.Tx, eventID string) (integrationID, correlationID string, err error)
}

// Scheduler is what replay needs from whoever delivers.
type Scheduler interface {
	// Dispatch puts a request on the replay queue: a row of tx, published after the
	// commit. fault.Invalid when the destination is not one of the integration's.
	Dispatch(ctx context.Context, tx *database.Tx, o contract.ReplayOrder, integrationID, correlationID string) error
}

// Auditor keeps what happened, in the transaction in which it happened.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Deps is everything replay needs from the outside.
type Deps struct {
	DB        *database.DB
	Events    Events
	Scheduler Scheduler
	Audit     Auditor
}

// Module is the replay of events.
type Module struct {
	db        *database.DB
	events    Events
	scheduler Scheduler
	audit     Auditor
}

// New wires the module; it starts nothing.
func New(d Deps) *Module {
	return &Module{db: d.DB, events: d.Events, scheduler: d.Scheduler, audit: d.Audit}
}

// Routes registers the module's routes.
func (m *Module) Routes(r httpapi.Routes) {
	r.Operator.Scoped().POST("/events/:id/replay", m.post)
	r.Viewer.Scoped().GET("/replay-requests", m.list)
	r.Viewer.Scoped().GET("/replay-requests/:id", m.one)
}
