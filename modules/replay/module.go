// Package replay lets an operator send an event again. It owns replay_requests: who asked,
// why, and the outcome. It refuses requests without a reason. It does not deliver: the
// delivery module dispatches the requests and reports when they have ended.
package replay

import (
	"context"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// Events is what replay needs from the module that stores events.
type Events interface {
	// Integration returns the integration and the correlation id of an event;
	// fault.NotFound if there is no such event.
	Integration(ctx context.Context, tx *database.Tx, eventID string) (integrationID string, err error)
}

// Scheduler is what replay needs from the module that delivers.
type Scheduler interface {
	// Dispatch puts a request on the replay queue: a row written by tx, published after the
	// commit. fault.Invalid if the destination does not belong to the integration.
	Dispatch(ctx context.Context, tx *database.Tx, o contract.ReplayOrder, integrationID string) error
}

// Auditor records audit entries in the transaction of the change that they describe.
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

// Module replays events.
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
	r.Operator.Scoped().POST("/events/:id/replay", m.post, postSpec)
	r.Viewer.Scoped().GET("/replay-requests", m.list, listSpec)
	r.Viewer.Scoped().GET("/replay-requests/:id", m.get, getSpec)
}
