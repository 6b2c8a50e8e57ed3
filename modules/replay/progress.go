package replay

import (
	"context"
	"slices"
	"strings"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// status is the state of a request.
type status string

const (
	queued     status = "queued"
	dispatched status = "dispatched"
	completed  status = "completed"
	failed     status = "failed"
)

// allowedFrom lists for each status the statuses it may follow. Nothing follows completed
// or failed, so a late report cannot undo a final status.
var allowedFrom = map[status][]status{
	dispatched: {queued},
	completed:  {queued, dispatched},
	failed:     {queued, dispatched},
}

// change is a requested change of status.
type change struct {
	requestID string
	to        status
	err       *string
}

// Orders returns those of the requests that are still queued, and locks them until tx ends,
// in id order.
func (m *Module) Orders(ctx context.Context, tx *database.Tx, requestIDs []string) ([]contract.ReplayOrder, error) {
	locked, err := lockRequests(ctx, tx, requestIDs)
	if err != nil {
		return nil, err
	}
	var orders []contract.ReplayOrder
	for _, r := range locked {
		if r.Status == queued {
			orders = append(orders, r.order())
		}
	}
	return orders, nil
}

// Dispatched records that the orders' jobs exist. Requests that are no longer queued are
// left unchanged.
func (m *Module) Dispatched(ctx context.Context, tx *database.Tx, orders []contract.ReplayOrder) error {
	changes := make([]change, len(orders))
	for i, o := range orders {
		changes[i] = change{requestID: o.RequestID, to: dispatched}
	}
	return m.apply(ctx, tx, changes)
}

// Ended records the outcome of the requests. A request that ended before keeps its outcome.
func (m *Module) Ended(ctx context.Context, tx *database.Tx, ends []contract.ReplayEnd) error {
	changes := make([]change, len(ends))
	for i, e := range ends {
		changes[i] = change{requestID: e.RequestID, to: completed}
		if e.Failed {
			changes[i].to, changes[i].err = failed, sanitize(e.Error)
		}
	}
	return m.apply(ctx, tx, changes)
}

// apply makes the changes that allowedFrom permits and audits each.
func (m *Module) apply(ctx context.Context, tx *database.Tx, changes []change) error {
	ids := make([]string, len(changes))
	for i, c := range changes {
		ids[i] = c.requestID
	}
	locked, err := lockRequests(ctx, tx, ids)
	if err != nil {
		return err
	}
	allowed := allowedTransitions(locked, changes)
	if len(allowed) == 0 {
		return nil
	}
	if err := updateStatuses(ctx, tx, allowed); err != nil {
		return err
	}
	if err := m.countEnds(ctx, tx, allowed); err != nil {
		return err
	}
	entries := make([]contract.AuditEntry, len(allowed))
	for i, s := range allowed {
		entries[i] = progressEntry(s)
	}
	return m.audit.Record(ctx, tx, entries)
}

// transition is an allowed change, with the request before it.
type transition struct {
	request
	change
}

// allowedTransitions returns, in id order, the first change of each request that its status
// permits.
func allowedTransitions(requests []request, changes []change) []transition {
	var transitions []transition
	for _, r := range requests {
		for _, c := range changes {
			if c.requestID == r.ID && slices.Contains(allowedFrom[c.to], r.Status) {
				transitions = append(transitions, transition{r, c})
				break
			}
		}
	}
	return transitions
}

// sanitize returns text that both databases accept: an error may quote an endpoint's
// response.
func sanitize(text *string) *string {
	if text == nil {
		return nil
	}
	clean := strings.ReplaceAll(strings.ToValidUTF8(*text, "\uFFFD"), "\x00", "\uFFFD")
	return &clean
}
