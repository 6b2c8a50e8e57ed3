package replay

import (
	"context"
	"fmt"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
)

// order is a validated replay request from an operator.
type order struct {
	eventID       string
	requestedBy   string
	reason        string
	destinationID *string
	url           *string // where to in place of destinations
	signing       *secret.Value
	onlyFailed    bool
	actor         string // the credential that was used
}

// request stores the order, puts it on the replay queue and audits it in one transaction.
// It returns the request's id.
func (m *Module) request(ctx context.Context, o order) (string, error) {
	requestID := id.New()
	err := m.db.InTx(ctx, func(tx *database.Tx) error { return m.requestIn(ctx, tx, requestID, o) })
	return requestID, err
}

// Request stores a request for one destination in the caller's transaction, like an
// operator's request, and returns its id. fault.NotFound if there is no such event;
// fault.Invalid if the destination does not belong to the event's integration.
func (m *Module) Request(ctx context.Context, tx *database.Tx, a contract.ReplayRequest) (string, error) {
	requestID := id.New()
	return requestID, m.requestIn(ctx, tx, requestID, order{eventID: a.EventID, destinationID: &a.DestinationID,
		requestedBy: a.RequestedBy, reason: a.Reason, actor: a.Actor})
}

func (m *Module) requestIn(ctx context.Context, tx *database.Tx, requestID string, o order) error {
	integrationID, err := m.events.Integration(ctx, tx, o.eventID)
	if err != nil {
		return err
	}
	r := newRequest(requestID, integrationID, o, tx)
	if err := insertRequest(ctx, tx, r); err != nil {
		return err
	}
	if o.url != nil {
		if err := m.sender.Add(ctx, tx, r.ID, *o.url, *o.signing); err != nil {
			return err
		}
	} else if err := m.scheduler.Dispatch(ctx, tx, r.order(), integrationID); err != nil {
		return fmt.Errorf("dispatch the replay: %w", err)
	}
	return m.audit.Record(ctx, tx, []contract.AuditEntry{requestedEntry(r)})
}

func newRequest(requestID, integrationID string, o order, tx *database.Tx) request {
	r := request{
		ID: requestID, EventID: o.eventID, IntegrationID: integrationID, DestinationID: o.destinationID, OnlyFailed: o.onlyFailed,
		RequestedBy: o.requestedBy, Reason: o.reason, Actor: o.actor,
		Status: queued, CreatedAt: clock.At(tx.Now),
	}
	if o.url != nil { // it needs nobody to dispatch it
		r.URLID, r.URL, r.Status, r.DispatchedAt = &r.ID, o.url, dispatched, &r.CreatedAt
	}
	return r
}

func (r request) order() contract.ReplayOrder {
	return contract.ReplayOrder{RequestID: r.ID, EventID: r.EventID, DestinationID: r.DestinationID, OnlyFailed: r.OnlyFailed}
}
