package replay

import (
	"context"
	"slices"
	"strings"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// status is where a request stands.
type status string

const (
	queued     status = "queued"
	dispatched status = "dispatched"
	completed  status = "completed"
	failed     status = "failed"
)

// leaves says for each status which ones it may follow. Nothing follows completed
// or failed, so that a late report cannot undo an end.
var leaves = map[status][]status{
	dispatched: {queued},
	completed:  {queued, dispatched},
	failed:     {queued, dispatched},
}

// change is a status that a request should come to.
type change struct {
	requestID string
	to        status
	err       *string
}

// Orders gives those of the requests that are still queued, and locks them until
// tx ends, in the order of their ids.
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

// Dispatched notes that the orders' jobs exist. Requests that are not queued any
// more stay as they are.
func (m *Module) Dispatched(ctx context.Context, tx *database.Tx, orders []contract.ReplayOrder) error {
	changes := make([]change, len(orders))
	for i, o := range orders {
		changes[i] = change{requestID: o.RequestID, to: dispatched}
	}
	return m.apply(ctx, tx, changes)
}

// Ended notes what the requests came to. One that ended before keeps its end.
func (m *Module) Ended(ctx context.Context, tx *database.Tx, ends []contract.ReplayEnd) error {
	changes := make([]change, len(ends))
	for i, e := range ends {
		changes[i] = change{requestID: e.RequestID, to: completed}
		if e.Failed {
			changes[i].to, changes[i].err = failed, storable(e.Error)
		}
	}
	return m.apply(ctx, tx, changes)
}

// apply makes those changes that the table allows and audits each.
func (m *Module) apply(ctx context.Context, tx *database.Tx, changes []change) error {
	ids := make([]string, len(changes))
	for i, c := range changes {
		ids[i] = c.requestID
	}
	locked, err := lockRequests(ctx, tx, ids)
	if err != nil {
		return err
	}
	allowed := allowedChanges(locked, changes)
	if len(allowed) == 0 {
		return nil
	}
	if err := updateStatuses(ctx, tx, allowed); err != nil {
		return err
	}
	entries := make([]contract.AuditEntry, len(allowed))
	for i, s := range allowed {
		entries[i] = progressEntry(s)
	}
	return m.audit.Record(ctx, tx, entries)
}

// step is a change that is allowed, with the request as it was.
type step struct {
	request
	change
}

// allowedChanges gives, in the order of the ids, the first change of each request
// that may follow the status it has.
func allowedChanges(requests []request, changes []change) []step {
	var steps []step
	for _, r := range requests {
		for _, c := range changes {
			if c.requestID == r.ID && slices.Contains(leaves[c.to], r.Status) {
				steps = append(steps, step{r, c})
				break
			}
		}
	}
	return steps
}

// storable is text as both databases take it: an error may quote what an endpoint
// answered.
func storable(text *string) *string {
	if text == nil {
		return nil
	}
	clean := strings.ReplaceAll(strings.ToValidUTF8(*text, "\uFFFD"), "\x00", "\uFFFD")
	return &clean
}
