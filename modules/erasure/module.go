// Package erasure removes a person's data from the records, by the subject of their events,
// and leaves the audit trail unchanged. It owns no table: the modules that own an event's
// records remove them, in one transaction per batch of events. An interrupted erasure is
// simply run again.
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

// Events is what erasure needs from the module that stores events.
type Events interface {
	// EventsOf scans a range of events after an id, "" for the first. It returns the
	// subject's events, the last id scanned, and whether the scan is complete.
	EventsOf(ctx context.Context, s contract.Subject, after string) (ids []string, upTo string, done bool, err error)
	// OthersOf returns the other events whose original body goes when these are erased.
	OthersOf(ctx context.Context, eventIDs []string) (ids []string, err error)
	// LockStates locks and returns the events' states, in id order.
	LockStates(ctx context.Context, tx *database.Tx, eventIDs []string) ([]contract.EventState, error)
	// Forget removes the content of locked events and of their webhooks. It returns the
	// number of webhooks.
	Forget(ctx context.Context, tx *database.Tx, eventIDs []string) (webhooks int, err error)
	// MarkErasure says that the quarantine of a source, or of all (""), is about to be searched.
	MarkErasure(ctx context.Context, source string) error
	// RefusedOf returns the ids of refused requests that mention the subject.
	RefusedOf(ctx context.Context, s contract.Subject) (ids []string, err error)
	// RemoveQuarantined deletes a refused request; fault.NotFound if it no longer exists.
	RemoveQuarantined(ctx context.Context, quarantineID string) error
}

// Deliveries is what erasure needs from the module that delivers.
type Deliveries interface {
	// Forget ends the deliveries of events whose states tx has locked, and removes the
	// destinations' responses.
	Forget(ctx context.Context, tx *database.Tx, states []contract.EventState) (contract.ErasureCounts, error)
}

// Replays is what erasure needs from the module that replays.
type Replays interface {
	// ForgetSubject removes the subject from what replays were ordered for.
	ForgetSubject(ctx context.Context, tx *database.Tx, subject string) error
}

// Auditor writes audit entries with the rows of a transaction.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Config sets the batch size; New replaces a zero value with the default.
type Config struct {
	Batch int // events in one transaction; default 100
}

// Deps is everything erasure needs from the outside.
type Deps struct {
	DB         *database.DB
	Log        *slog.Logger
	Events     Events
	Deliveries Deliveries
	Replays    Replays
	Audit      Auditor
}

// Module erases records.
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

// Count returns the number of events and refused requests that Erase would remove now, and
// the number of other subjects' events that would lose their original body. The other
// counts are only known after an erasure.
func (m *Module) Count(ctx context.Context, s contract.Subject) (n contract.ErasureCounts, err error) {
	err = m.eachBatch(ctx, s, func(ids, others []string) error {
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

// eachBatch passes the subject's events to do, one range of events after another, together
// with other subjects' events from the same webhooks, once each.
func (m *Module) eachBatch(ctx context.Context, s contract.Subject, do func(ids, others []string) error) error {
	var previous []string // others of the previous range, which may end within a webhook
	for after, done := "", false; !done; {
		var ids []string
		var err error
		if ids, after, done, err = m.d.Events.EventsOf(ctx, s, after); err != nil {
			return err
		}
		others, err := m.d.Events.OthersOf(ctx, ids)
		if err != nil {
			return err
		}
		fresh := slices.DeleteFunc(slices.Clone(others), func(eventID string) bool { return slices.Contains(previous, eventID) })
		if err := do(ids, fresh); err != nil {
			return err
		}
		previous = others
	}
	return nil
}

// details is the content of an audit entry about an erasure. It does not identify the
// person, since the trail is never erased.
type details struct {
	ErasureID string `json:"erasureId"`
	Source    string `json:"source,omitempty"`
	*contract.ErasureCounts
}

func entry(entityType string, entityID *string, action, actor string, d details) contract.AuditEntry {
	text, _ := json.Marshal(d) // strings and numbers always marshal
	return contract.AuditEntry{EntityType: entityType, EntityID: entityID, Action: action, Actor: actor, Details: text}
}

// Erase removes a subject's records. It returns what it removed and the erasure's id in the
// audit trail. If it fails, the counts cover what was removed before the error; running it
// again continues.
func (m *Module) Erase(ctx context.Context, s contract.Subject, actor string) (erasureID string, removed contract.ErasureCounts, err error) {
	erasureID = id.New()
	if removed.Quarantined, err = m.eraseRefused(ctx, s); err != nil {
		return erasureID, removed, fmt.Errorf("erase refused requests: %w", err)
	}
	err = m.eachBatch(ctx, s, func(ids, others []string) error {
		removed.Others += len(others)
		for batch := range slices.Chunk(ids, m.cfg.Batch) {
			some, err := m.eraseBatch(ctx, batch, erasureID, actor)
			if err != nil {
				return err
			}
			add(&removed, some)
			m.d.Log.InfoContext(ctx, "erasing events", "erasure_id", erasureID, "events", removed.Events)
		}
		return nil
	})
	if err != nil {
		return erasureID, removed, fmt.Errorf("erase events: %w", err)
	}
	return erasureID, removed, m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		if err := m.d.Replays.ForgetSubject(ctx, tx, s.Text); err != nil {
			return err
		}
		return m.d.Audit.Record(ctx, tx, []contract.AuditEntry{
			entry(contract.EntityRecords, nil, "records.erased", actor, details{erasureID, s.Source, &removed}),
		})
	})
}

// eraseRefused runs first: a request released meanwhile becomes an event, which is found
// later.
func (m *Module) eraseRefused(ctx context.Context, s contract.Subject) (n int, err error) {
	if err := m.d.Events.MarkErasure(ctx, s.Source); err != nil {
		return 0, err
	}
	refused, err := m.d.Events.RefusedOf(ctx, s)
	if err != nil {
		return 0, err
	}
	for _, quarantineID := range refused {
		switch err := m.d.Events.RemoveQuarantined(ctx, quarantineID); {
		case fault.Is(err, fault.NotFound): // removed in the meantime
		case err != nil:
			return n, err
		default:
			n++
		}
	}
	return n, nil
}

// eraseBatch erases a batch of events in one transaction.
func (m *Module) eraseBatch(ctx context.Context, eventIDs []string, erasureID, actor string) (removed contract.ErasureCounts, err error) {
	err = m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		states, err := m.d.Events.LockStates(ctx, tx, eventIDs)
		if err != nil {
			return err
		}
		remaining := slices.Clone(eventIDs) // without events that another erasure has already erased
		for _, state := range states {
			if state.Erased {
				remaining = slices.DeleteFunc(remaining, func(eventID string) bool { return eventID == state.EventID })
			}
		}
		states = slices.DeleteFunc(states, func(state contract.EventState) bool { return state.Erased })
		if removed, err = m.d.Deliveries.Forget(ctx, tx, states); err != nil {
			return err
		}
		if removed.Webhooks, err = m.d.Events.Forget(ctx, tx, remaining); err != nil {
			return err
		}
		removed.Events = len(remaining)
		entries := make([]contract.AuditEntry, len(remaining))
		for i := range remaining {
			entries[i] = entry(contract.EntityNormalizedEvent, &remaining[i], "event.erased", actor, details{ErasureID: erasureID})
		}
		return m.d.Audit.Record(ctx, tx, entries)
	})
	return removed, err
}

func add(to *contract.ErasureCounts, n contract.ErasureCounts) {
	to.Events += n.Events
	to.Webhooks += n.Webhooks
	to.Deliveries += n.Deliveries
	to.Answers += n.Answers
	to.DeadLetters += n.DeadLetters
}
