package erasure

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// actorOf is ctx under the credential that ordered the erasure, without its restriction: the
// erasure's own sources hold.
func actorOf(ctx context.Context, e erasure) context.Context { return httpapi.WithActor(ctx, e.Actor) }

const countSQL = `
UPDATE erasures
SET    events = events + $1, webhooks = webhooks + $2, others = others + $3, deliveries = deliveries + $4, answers = answers + $5,
       dead_letters = dead_letters + $6, updated_at = $7, lease_until = $8
WHERE  id = $9 AND lease_token = $10 AND ended_at IS NULL`

// eraseBatch erases a batch of events and counts what it removed, in one transaction.
func (m *Module) eraseBatch(ctx context.Context, e erasure, eventIDs []string) error {
	if len(eventIDs) == 0 {
		return nil
	}
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		states, err := m.d.Events.LockStates(ctx, tx, eventIDs)
		if err != nil {
			return err
		}
		remaining := slices.Clone(eventIDs) // without those that another erasure has erased
		for _, state := range states {
			if state.Erased {
				remaining = slices.DeleteFunc(remaining, func(eventID string) bool { return eventID == state.EventID })
			}
		}
		states = slices.DeleteFunc(states, func(state contract.EventState) bool { return state.Erased })
		others, err := m.d.Events.OthersOf(ctx, remaining)
		if err != nil {
			return err
		}
		removed, err := m.d.Deliveries.Forget(ctx, tx, states)
		if err != nil {
			return err
		}
		if removed.Webhooks, err = m.d.Events.Forget(ctx, tx, remaining); err != nil {
			return err
		}
		entries := make([]contract.AuditEntry, len(remaining))
		for i := range remaining {
			entries[i] = entry(contract.EntityNormalizedEvent, &remaining[i], "event.erased", e.Actor, details{ErasureID: e.ID})
		}
		if err := m.d.Audit.Record(ctx, tx, entries); err != nil {
			return err
		}
		return one(tx.Exec(ctx, countSQL, len(remaining), removed.Webhooks, len(others), removed.Deliveries, removed.Answers, removed.DeadLetters,
			tx.Now, tx.Now.Add(m.cfg.Lease), e.ID, m.token))
	})
	if err != nil {
		return fmt.Errorf("erase events: %w", err)
	}
	return nil
}

const endSQL = `
UPDATE erasures
SET    status = $1, target = $2, limited = $3, ended_at = $4, updated_at = $4, lease_token = NULL, lease_until = NULL
WHERE  id = $5 AND ended_at IS NULL AND (lease_token = $6 OR $1 = 'cancelled')`

// finish ends an erasure. What it looked for is nowhere afterwards: not in the filters of replays,
// and not in its own row.
func (m *Module) finish(ctx context.Context, e erasure, sources []string, limited bool) error {
	var integrations []string
	if sources != nil {
		ids, err := m.d.Sources.IntegrationsOf(ctx, sources)
		if err != nil {
			return fmt.Errorf("look up the sources: %w", err)
		}
		integrations = append([]string{}, slices.Sorted(maps.Values(ids))...)
	}
	return m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		if text := e.Target.text(); text != "" {
			if err := m.d.Replays.ForgetSubject(ctx, tx, text, integrations); err != nil {
				return err
			}
		}
		return m.end(ctx, tx, e, completed, limited, "records.erased", e.Actor)
	})
}

// end stores the end of an erasure and audits it.
func (m *Module) end(ctx context.Context, tx *database.Tx, e erasure, status string, limited bool, action, actor string) error {
	left := e.Target
	left.Subject, left.Value = "", ""
	text, err := json.Marshal(left)
	if err != nil {
		return fmt.Errorf("write the target: %w", err)
	}
	if err := one(tx.Exec(ctx, endSQL, status, string(text), limited, tx.Now, e.ID, m.token)); err != nil {
		return err
	}
	if status == cancelled {
		if err := m.d.Events.RemoveErasureMarks(ctx, tx, e.ID); err != nil {
			return err
		}
	}
	if err := tx.Get(ctx, &e, selectSQL+" WHERE id = $1", e.ID); err != nil { // with the last counts
		return fmt.Errorf("read the erasure: %w", err)
	}
	return m.d.Audit.Record(ctx, tx, []contract.AuditEntry{m.recordsEntry(e, action, actor)})
}

// details is the content of an audit entry about an erasure. It does not identify the person,
// since the trail is never erased: the text that was looked for is there as a keyed hash.
type details struct {
	ErasureID  string   `json:"erasureId"`
	Kind       string   `json:"kind,omitempty"`
	Source     string   `json:"source,omitempty"`
	TextDigest string   `json:"textDigest,omitempty"`
	Paths      []string `json:"paths,omitempty"`
	Reason     string   `json:"reason,omitempty"`
	Limited    bool     `json:"limited,omitempty"`
	*contract.ErasureCounts
}

func (m *Module) recordsEntry(e erasure, action, actor string) contract.AuditEntry {
	counts := e.counts()
	d := details{ErasureID: e.ID, Kind: e.Kind, Paths: e.Target.Paths, Limited: e.Limited, ErasureCounts: &counts}
	if e.Target.Source != nil {
		d.Source = *e.Target.Source
	}
	if e.TextDigest != nil {
		d.TextDigest = *e.TextDigest
	}
	return entry(contract.EntityRecords, nil, action, actor, d)
}

func entry(entityType string, entityID *string, action, actor string, d details) contract.AuditEntry {
	text, _ := json.Marshal(d) // strings and numbers always marshal
	return contract.AuditEntry{EntityType: entityType, EntityID: entityID, Action: action, Actor: actor, Details: text}
}
