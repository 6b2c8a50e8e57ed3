// Package erasure removes what the records hold of a person, by the subject of their
// events, and leaves the audit trail as it is. It owns no table: what belongs to an event is
// removed by the modules that own it, in one transaction for a few events at a time, so
// that one that was cut off is simply run again.
package erasure

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// Events is what erasure needs of whoever stores events.
type Events interface {
	// EventsOf walks the events from behind an id, "" for the first, for a while: those of
	// the subject, the id that it came to, and whether that was the end.
	EventsOf(ctx context.Context, s contract.Subject, after string) (ids []string, upTo string, done bool, err error)
	// OthersOf gives the events of others that came with these of the subject, in the same
	// webhooks.
	OthersOf(ctx context.Context, s contract.Subject, eventIDs []string) (ids []string, err error)
	// LockStates locks the events' states in id order and gives them.
	LockStates(ctx context.Context, tx *database.Tx, eventIDs []string) ([]contract.EventState, error)
	// Forget removes what locked events say, and their webhooks, of which it gives the number.
	Forget(ctx context.Context, tx *database.Tx, eventIDs []string) (webhooks int, err error)
	// RefusedOf gives the ids of refused requests that mention the subject.
	RefusedOf(ctx context.Context, s contract.Subject) (ids []string, err error)
	// RemoveQuarantined drops a refused request; fault.NotFound when it is gone.
	RemoveQuarantined(ctx context.Context, quarantineID string) error
}

// Deliveries is what erasure needs of whoever delivers.
type Deliveries interface {
	// Forget ends the deliveries of events whose states tx has locked, and removes what
	// destinations answered.
	Forget(ctx context.Context, tx *database.Tx, states []contract.EventState) (contract.Forgotten, error)
}

// Auditor writes audit entries with the rows of a transaction.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Config says how much is done at once; New replaces a zero value with the default.
type Config struct {
	Batch int // events in one transaction; default 100
}

// Deps is everything erasure needs from the outside.
type Deps struct {
	DB         *database.DB
	Log        *slog.Logger
	Events     Events
	Deliveries Deliveries
	Audit      Auditor
}

// Module erases.
type Module struct {
	cfg Config
	d   Deps
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	if cfg.Batch == 0 {
		cfg.Batch = 100
	}
	d.Log = d.Log.With("module", "erasure")
	return &Module{cfg: cfg, d: d}
}

// Count gives the events and refused requests that Erase would reach now, and the events of
// others that would lose their original body; the rest of what it gives is not known before.
func (m *Module) Count(ctx context.Context, s contract.Subject) (n contract.Forgotten, err error) {
	err = m.each(ctx, s, func(ids, others []string) error {
		n.Events += len(ids)
		n.Others += len(others)
		return nil
	})
	if err != nil {
		return n, err
	}
	refused, err := m.d.Events.RefusedOf(ctx, s)
	n.Quarantined = len(refused)
	return n, err
}

// each gives the events of a subject, a piece of all events after another, and those of
// others that came with them, once each.
func (m *Module) each(ctx context.Context, s contract.Subject, do func(ids, others []string) error) error {
	var before []string // others of the last piece, which may end within a webhook
	for after, done := "", false; !done; {
		var ids []string
		var err error
		if ids, after, done, err = m.d.Events.EventsOf(ctx, s, after); err != nil {
			return err
		}
		others, err := m.d.Events.OthersOf(ctx, s, ids)
		if err != nil {
			return err
		}
		fresh := slices.DeleteFunc(slices.Clone(others), func(eventID string) bool { return slices.Contains(before, eventID) })
		if err := do(ids, fresh); err != nil {
			return err
		}
		before = others
	}
	return nil
}

// details are what the audit trail says of an erasure. It says nothing of the person: the
// trail stays.
type details struct {
	ErasureID string `json:"erasureId"`
	Source    string `json:"source,omitempty"`
	*contract.Forgotten
}

func entry(entityType string, entityID *string, action, actor string, d details) contract.AuditEntry {
	text, _ := json.Marshal(d) // strings and numbers always marshal
	return contract.AuditEntry{EntityType: entityType, EntityID: entityID, Action: action, Actor: actor, Details: text}
}

// Erase removes what there is of a subject, and says what it removed and under which id the
// trail has it. Its error may come after some of it was done; that counts too. Whoever runs
// it again goes on.
func (m *Module) Erase(ctx context.Context, s contract.Subject, actor string) (erasureID string, gone contract.Forgotten, err error) {
	erasureID = id.New()
	if gone.Quarantined, err = m.eraseRefused(ctx, s); err != nil {
		return erasureID, gone, fmt.Errorf("erase refused requests: %w", err)
	}
	err = m.each(ctx, s, func(ids, others []string) error {
		gone.Others += len(others)
		for batch := range slices.Chunk(ids, m.cfg.Batch) {
			some, err := m.eraseBatch(ctx, batch, erasureID, actor)
			if err != nil {
				return err
			}
			add(&gone, some)
			m.d.Log.InfoContext(ctx, "erasing", "erasure_id", erasureID, "events", gone.Events)
		}
		return nil
	})
	if err != nil {
		return erasureID, gone, fmt.Errorf("erase events: %w", err)
	}
	return erasureID, gone, m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		return m.d.Audit.Record(ctx, tx, []contract.AuditEntry{
			entry(contract.EntityRecords, nil, "records.erased", actor, details{erasureID, s.Source, &gone}),
		})
	})
}

// eraseRefused comes first: what is released meanwhile becomes an event, which is found then.
func (m *Module) eraseRefused(ctx context.Context, s contract.Subject) (n int, err error) {
	refused, err := m.d.Events.RefusedOf(ctx, s)
	if err != nil {
		return 0, err
	}
	for _, quarantineID := range refused {
		switch err := m.d.Events.RemoveQuarantined(ctx, quarantineID); {
		case fault.Is(err, fault.NotFound): // gone in between
		case err != nil:
			return n, err
		default:
			n++
		}
	}
	return n, nil
}

// eraseBatch erases a few events, all or none.
func (m *Module) eraseBatch(ctx context.Context, eventIDs []string, erasureID, actor string) (gone contract.Forgotten, err error) {
	err = m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		states, err := m.d.Events.LockStates(ctx, tx, eventIDs)
		if err != nil {
			return err
		}
		left := slices.Clone(eventIDs) // without what another erasure was faster with
		for _, state := range states {
			if state.Erased {
				left = slices.DeleteFunc(left, func(eventID string) bool { return eventID == state.EventID })
			}
		}
		states = slices.DeleteFunc(states, func(state contract.EventState) bool { return state.Erased })
		if gone, err = m.d.Deliveries.Forget(ctx, tx, states); err != nil {
			return err
		}
		if gone.Webhooks, err = m.d.Events.Forget(ctx, tx, left); err != nil {
			return err
		}
		gone.Events = len(left)
		entries := make([]contract.AuditEntry, len(left))
		for i := range left {
			entries[i] = entry(contract.EntityNormalizedEvent, &left[i], "event.erased", actor, details{ErasureID: erasureID})
		}
		return m.d.Audit.Record(ctx, tx, entries)
	})
	return gone, err
}

func add(to *contract.Forgotten, n contract.Forgotten) {
	to.Events += n.Events
	to.Webhooks += n.Webhooks
	to.Deliveries += n.Deliveries
	to.Answers += n.Answers
	to.DeadLetters += n.DeadLetters
}
