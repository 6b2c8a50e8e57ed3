package ingestion

import (
	"context"
	"fmt"
	"slices"
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
	statusEmpty     = "empty"

	// commitTimeout bounds a group's commit, and again its fallback to single commits.
	commitTimeout = 15 * time.Second
)

// keyOwner is the event that an idempotency key belongs to.
type keyOwner struct{ eventID, correlationID string }

// commit stores a group of webhooks in one transaction and returns a result for each. A
// webhook that cannot be stored does not fail the others.
func (m *Module) commit(group []verifiedWebhook) []batch.Result[receipt] {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	repeats, fresh := m.repeats(ctx, group)
	results := make([]batch.Result[receipt], len(group))
	var rest []int // webhooks with at least one new event
	for i, w := range group {
		if r, ok := w.answer(repeats); ok {
			results[i].Value = r
		} else if results[i].Err = m.refuses(w); results[i].Err == nil {
			rest = append(rest, i)
		}
	}
	if len(rest) == 0 {
		return results
	}
	webhooks := make([]verifiedWebhook, len(rest))
	for n, i := range rest {
		webhooks[n] = group[i]
	}
	stored := m.commitAll(ctx, webhooks, fresh)
	for n, i := range rest {
		results[i] = stored[n]
	}
	return results
}

// commitAll stores the webhooks together, or one by one if that fails. Keys assumed to be
// fresh are not looked up first: one statement is the whole transaction.
func (m *Module) commitAll(ctx context.Context, webhooks []verifiedWebhook, fresh bool) []batch.Result[receipt] {
	results, err := m.commitOnce(ctx, webhooks, fresh)
	if fresh && m.d.DB.Dialect.IsUnique(err) { // the cache forgot a key, or the first answer was lost
		results, err = m.commitOnce(ctx, webhooks, false)
	}
	if err == nil {
		return results
	}
	results = make([]batch.Result[receipt], len(webhooks))
	if len(webhooks) == 1 {
		results[0].Err = err
		return results
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout) // the first may have used up its time
	defer cancel()
	outages := 0
	for i := range webhooks {
		// One blocked row looks like an outage. Two are taken for one, so that a group does
		// not wait for it hundreds of times.
		if outages == 2 {
			results[i].Err = err
			continue
		}
		var one []batch.Result[receipt]
		if one, err = m.commitOnce(ctx, webhooks[i:i+1], false); err == nil {
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

// commitOnce stores all webhooks or none.
func (m *Module) commitOnce(ctx context.Context, webhooks []verifiedWebhook, fresh bool) ([]batch.Result[receipt], error) {
	var at map[string]keyOwner
	var withheld map[string]error
	began := m.d.Now()
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) (err error) {
		at, withheld, err = m.storeAll(ctx, tx, webhooks, fresh)
		failpoint.Hit(failpoint.BeforeCommit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store %d webhooks: %w", len(webhooks), err)
	}
	m.d.Metrics.Committed(len(webhooks), m.d.Now.Since(began), m.tracedOf(webhooks))
	failpoint.Hit(failpoint.AfterCommit)
	results := make([]batch.Result[receipt], len(webhooks))
	for i, w := range webhooks {
		r, ok := w.answer(at)
		if !ok && withheld[w.webhookID] != nil {
			results[i].Err = withheld[w.webhookID]
			continue
		}
		if !ok {
			return nil, fmt.Errorf("a stored webhook has no event: %s", w.events[0].key)
		}
		r.group = len(webhooks)
		results[i].Value = r
	}
	return results, nil
}

// storeAll stores the webhooks, and returns the owner of each key, and why released ones are not
// stored, by webhook.
func (m *Module) storeAll(ctx context.Context, tx *database.Tx, webhooks []verifiedWebhook, fresh bool) (at map[string]keyOwner, withheld map[string]error, err error) {
	switch {
	case slices.ContainsFunc(webhooks, func(w verifiedWebhook) bool { return w.spooled }):
		at, err = m.storeUnerased(ctx, tx, webhooks)
		return at, nil, err
	case !slices.ContainsFunc(webhooks, func(w verifiedWebhook) bool { return w.release != nil }):
		at, err = m.storeNew(ctx, tx, webhooks, fresh)
		return at, nil, err
	}
	kept, withheld, err := m.takeReleased(ctx, tx, webhooks)
	if err != nil {
		return nil, nil, err
	}
	if at, err = m.storeNew(ctx, tx, kept, fresh); err != nil {
		return nil, nil, err
	}
	if err := m.auditReleased(ctx, tx, kept, at); err != nil {
		return nil, nil, err
	}
	return at, withheld, addOwners(ctx, tx, webhooks, at)
}

// storeNew stores the events whose keys are new, with all their rows, and returns the owner
// of each key.
func (m *Module) storeNew(ctx context.Context, tx *database.Tx, webhooks []verifiedWebhook, fresh bool) (map[string]keyOwner, error) {
	claims, err := claimKeys(ctx, tx, webhooks, fresh)
	if err != nil {
		return nil, err
	}
	newWebhooks, entries := claims.newWebhooks(webhooks), claims.repeatEntries(webhooks)
	if len(newWebhooks) == 0 {
		return claims.owner, m.record(ctx, tx, entries)
	}
	if err := m.withoutErased(ctx, tx, newWebhooks); err != nil {
		return nil, err
	}
	if err := insertWebhooks(ctx, tx, newWebhooks); err != nil {
		return nil, err
	}
	if err := insertEvents(ctx, tx, newWebhooks); err != nil {
		return nil, err
	}
	scheduled, err := m.schedule(ctx, tx, newWebhooks)
	if err != nil {
		return nil, err
	}
	if err := insertStates(ctx, tx, newWebhooks, scheduled); err != nil {
		return nil, err
	}
	return claims.owner, m.record(ctx, tx, append(auditEntries(newWebhooks, scheduled), entries...))
}

func (m *Module) record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := m.d.Audit.Record(ctx, tx, entries); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// schedule creates the jobs of all new events and returns them by event.
func (m *Module) schedule(ctx context.Context, tx *database.Tx, newWebhooks []verifiedWebhook) (map[string]contract.Scheduled, error) {
	var events []contract.NewEvent
	for _, w := range newWebhooks {
		events = append(events, w.newEvents()...)
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

// newEvents converts the webhook's events for the scheduler.
func (w verifiedWebhook) newEvents() []contract.NewEvent {
	events := make([]contract.NewEvent, len(w.events))
	for i, e := range w.events {
		events[i] = contract.NewEvent{
			EventID: e.id, IntegrationID: w.source.IntegrationID, CorrelationID: w.correlationID, Source: w.source.Name,
			Provider: w.source.Spec.Name, EventType: e.Type, Subject: e.Subject, Payload: e.Payload, Headers: w.headers,
			Answers: e.answers,
		}
	}
	return events
}

// answer returns the webhook's receipt if at holds all of its keys. An event whose key
// belongs to its own id is new: no other webhook has that id.
func (w verifiedWebhook) answer(at map[string]keyOwner) (receipt, bool) {
	r := receipt{Status: statusDuplicate, Duplicate: true}
	for i, e := range w.events {
		k, ok := at[e.key]
		if !ok {
			return receipt{}, false
		}
		if i == 0 {
			r.EventID, r.CorrelationID = k.eventID, k.correlationID
		}
		if len(w.events) > 1 {
			r.EventIDs = append(r.EventIDs, k.eventID)
		}
		if k.eventID == e.id {
			r.Status, r.Duplicate = statusQueued, false
		}
	}
	return r, true
}
