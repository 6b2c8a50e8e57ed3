package ingestion

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/batch"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/failpoint"
	"integration-gateway/platform/fault"
)

const (
	statusQueued    = "queued"
	statusDuplicate = "duplicate"

	// commitTimeout bounds a group, and once more its falling back to single commits.
	commitTimeout = 15 * time.Second
)

// known is where an event stands that a key belongs to.
type known struct{ eventID, correlationID string }

// commit stores a group of arrivals in one transaction, and answers each. One
// that cannot be stored does not fail the others.
func (m *Module) commit(group []arrival) []batch.Result[receipt] {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	seen := m.look(ctx, group)
	results := make([]batch.Result[receipt], len(group))
	var rest []int // what the cache did not answer
	for i, a := range group {
		if r, ok := a.answer(seen.at); ok {
			results[i].Value = r
		} else {
			rest = append(rest, i)
		}
	}
	if len(rest) == 0 {
		return results
	}
	arrivals := make([]arrival, len(rest))
	for n, i := range rest {
		arrivals[n] = group[i]
	}
	stored := m.commitAll(ctx, arrivals, seen.fresh)
	for n, i := range rest {
		results[i] = stored[n]
	}
	return results
}

// commitAll stores the arrivals together, or one by one when that fails. Keys that are taken
// for fresh are not asked about first: one statement is the whole transaction.
func (m *Module) commitAll(ctx context.Context, arrivals []arrival, fresh bool) []batch.Result[receipt] {
	results, err := m.commitOnce(ctx, arrivals, fresh)
	if fresh && m.d.DB.Dialect.IsUnique(err) { // the cache forgot a key, or the first answer was lost
		results, err = m.commitOnce(ctx, arrivals, false)
	}
	if err == nil {
		return results
	}
	results = make([]batch.Result[receipt], len(arrivals))
	if len(arrivals) == 1 {
		results[0].Err = err
		return results
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout) // the first may have used up its time
	defer cancel()
	outages := 0
	for i := range arrivals {
		// A single row that is blocked looks like an outage; two of them are one, and
		// nobody waits for it hundreds of times.
		if outages == 2 {
			results[i].Err = err
			continue
		}
		var one []batch.Result[receipt]
		if one, err = m.commitOnce(ctx, arrivals[i:i+1], false); err == nil {
			results[i] = one[0]
			continue
		}
		results[i].Err = err
		if fault.Is(err, fault.Unavailable) {
			outages++
		}
	}
	return results
}

// commitOnce stores all arrivals or none.
func (m *Module) commitOnce(ctx context.Context, arrivals []arrival, fresh bool) ([]batch.Result[receipt], error) {
	var at map[string]known
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) (err error) {
		at, err = m.storeNew(ctx, tx, arrivals, fresh)
		failpoint.Hit(failpoint.BeforeCommit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store %d webhooks: %w", len(arrivals), err)
	}
	failpoint.Hit(failpoint.AfterCommit)
	m.mark(ctx, at)
	results := make([]batch.Result[receipt], len(arrivals))
	for i, a := range arrivals {
		r, ok := a.answer(at)
		if !ok {
			return nil, fmt.Errorf("a stored webhook has no event: %s", a.events[0].key)
		}
		results[i].Value = r
	}
	return results, nil
}

// storeNew stores the events whose keys are new, with everything that belongs to
// them, and says where each key's event stands.
func (m *Module) storeNew(ctx context.Context, tx *database.Tx, arrivals []arrival, fresh bool) (map[string]known, error) {
	ring, err := claimKeys(ctx, tx, arrivals, fresh)
	if err != nil {
		return nil, err
	}
	news := ring.winners(arrivals)
	if len(news) == 0 {
		return ring.at, nil
	}
	if err := insertWebhooks(ctx, tx, news); err != nil {
		return nil, err
	}
	if err := insertEvents(ctx, tx, news); err != nil {
		return nil, err
	}
	scheduled, err := m.schedule(ctx, tx, news)
	if err != nil {
		return nil, err
	}
	if err := insertStates(ctx, tx, news, scheduled); err != nil {
		return nil, err
	}
	if err := m.d.Audit.Record(ctx, tx, auditEntries(news, scheduled)); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return ring.at, nil
}

// schedule asks for the jobs of all new events, by event.
func (m *Module) schedule(ctx context.Context, tx *database.Tx, news []arrival) (map[string]contract.Scheduled, error) {
	var events []contract.NewEvent
	for _, a := range news {
		for _, e := range a.events {
			events = append(events, contract.NewEvent{
				EventID: e.id, IntegrationID: a.source.integrationID, CorrelationID: a.correlationID, Source: a.source.name,
				Provider: a.source.spec.Name, EventType: e.Type, Subject: e.Subject, Payload: e.Payload, Headers: a.headers,
			})
		}
	}
	answers, err := m.d.Scheduler.Schedule(ctx, tx, events)
	if err != nil {
		return nil, fmt.Errorf("schedule: %w", err)
	}
	scheduled := make(map[string]contract.Scheduled, len(answers))
	for _, s := range answers {
		scheduled[s.EventID] = s
	}
	for _, e := range events {
		if _, ok := scheduled[e.EventID]; !ok {
			return nil, fmt.Errorf("schedule: no answer for event %s", e.EventID)
		}
	}
	return scheduled, nil
}

// answer is a's receipt when every one of its keys stands in at. An event under the id
// that was made for it is new: no other arrival has that id.
func (a arrival) answer(at map[string]known) (receipt, bool) {
	r := receipt{Status: statusDuplicate, Duplicate: true}
	for i, e := range a.events {
		k, ok := at[e.key]
		if !ok {
			return receipt{}, false
		}
		if i == 0 {
			r.EventID, r.CorrelationID = k.eventID, k.correlationID
		}
		if len(a.events) > 1 {
			r.EventIDs = append(r.EventIDs, k.eventID)
		}
		if k.eventID == e.id {
			r.Status, r.Duplicate = statusQueued, false
		}
	}
	return r, true
}
