package erasure

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// world stands for the modules that own the records: events are rows of event_states, and
// erased when they say so.
type world struct {
	*Module
	db      *database.DB
	ids     []string // of all events, in order
	of      map[string]string
	refused []string
	removed []string
	audit   []contract.AuditEntry
	fail    func(action string) error // of the audit
}

func newWorld(t *testing.T, db *database.DB) *world {
	w := &world{db: db, of: map[string]string{}, fail: func(string) error { return nil }}
	w.Module = New(Config{Batch: 3}, Deps{DB: db, Log: slog.New(slog.DiscardHandler), Events: w, Deliveries: deliveries{w}, Audit: w})
	require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
		rows := database.NewRows("event_id uuid", "status text", "processing_attempts bigint", "received_at timestamptz", "updated_at timestamptz")
		for n := range 20 {
			eventID := id.New()
			w.ids = append(w.ids, eventID)
			w.of[eventID] = []string{"ada", "grace"}[n%2]
			rows.Add(eventID, "pending", 0, tx.Now, tx.Now)
		}
		return tx.Insert(t.Context(), "event_states", rows)
	}))
	return w
}

// EventsOf gives the events seven at a time.
func (w *world) EventsOf(ctx context.Context, s contract.Subject, after string) (ids []string, upTo string, done bool, err error) {
	rest := slices.DeleteFunc(slices.Clone(w.ids), func(eventID string) bool { return eventID <= after })
	done = len(rest) <= 7
	piece := rest[:min(7, len(rest))]
	erased, err := w.erased(ctx)
	for _, eventID := range piece {
		if w.of[eventID] == s.Text && !slices.Contains(erased, eventID) {
			ids = append(ids, eventID)
		}
	}
	return ids, piece[len(piece)-1], done, err
}

// OthersOf gives whoever follows: each event came with the next one.
func (w *world) OthersOf(_ context.Context, _ contract.Subject, eventIDs []string) (ids []string, err error) {
	for _, eventID := range eventIDs {
		ids = append(ids, w.ids[slices.Index(w.ids, eventID)+1])
	}
	return ids, nil
}

func (w *world) erased(ctx context.Context) (ids []string, err error) {
	return ids, w.db.Select(ctx, &ids, `SELECT event_id FROM event_states WHERE erased_at IS NOT NULL ORDER BY event_id`)
}

func (w *world) LockStates(ctx context.Context, tx *database.Tx, eventIDs []string) (states []contract.EventState, err error) {
	var rows []struct {
		ID     string `db:"event_id"`
		Erased bool   `db:"erased"`
	}
	err = tx.SelectRows(ctx, &rows, database.IDs(eventIDs), `SELECT event_id, erased_at IS NOT NULL AS erased FROM event_states WHERE event_id IN (SELECT id FROM v)`)
	for _, r := range rows {
		states = append(states, contract.EventState{EventID: r.ID, Erased: r.Erased})
	}
	return states, err
}

func (w *world) Forget(ctx context.Context, tx *database.Tx, eventIDs []string) (int, error) {
	n, err := tx.ExecRows(ctx, database.IDs(eventIDs), `UPDATE event_states SET erased_at = $1 FROM v WHERE event_id = v.id`, tx.Now)
	return int(n), err
}

func (w *world) RefusedOf(context.Context, contract.Subject) ([]string, error) { return w.refused, nil }

func (w *world) RemoveQuarantined(_ context.Context, quarantineID string) error {
	if quarantineID == "gone" {
		return fault.NotFound.New("not_quarantined", "It is gone.")
	}
	w.removed = append(w.removed, quarantineID)
	return nil
}

func (w *world) Record(_ context.Context, tx *database.Tx, entries []contract.AuditEntry) error {
	tx.AfterCommit(func() { w.audit = append(w.audit, entries...) })
	return w.fail(entries[0].Action)
}

type deliveries struct{ *world }

func (deliveries) Forget(_ context.Context, _ *database.Tx, states []contract.EventState) (contract.Forgotten, error) {
	return contract.Forgotten{Deliveries: len(states), Answers: 2 * len(states), DeadLetters: len(states)}, nil
}

func TestAnErasureReachesAllOfASubjectAndNobodyElse(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		w.refused = []string{"one", "gone", "two"}
		found, err := w.Count(t.Context(), contract.Subject{Text: "ada"})
		require.NoError(t, err)
		require.Equal(t, contract.Forgotten{Events: 10, Others: 10, Quarantined: 3}, found)
		erased, err := w.erased(t.Context())
		require.NoError(t, err)
		require.Empty(t, erased, "counting erases nothing")

		erasureID, gone, err := w.Erase(t.Context(), contract.Subject{Text: "ada", Source: "acme"}, "gateway-cli")
		require.NoError(t, err)
		require.Equal(t, contract.Forgotten{Events: 10, Webhooks: 10, Others: 10, Deliveries: 10, Answers: 20, DeadLetters: 10, Quarantined: 2}, gone)
		require.Equal(t, []string{"one", "two"}, w.removed)
		erased, err = w.erased(t.Context())
		require.NoError(t, err)
		require.Len(t, erased, 10)
		for _, eventID := range erased {
			require.Equal(t, "ada", w.of[eventID])
		}
		require.Len(t, w.audit, 11)
		for _, e := range w.audit[:10] {
			require.Equal(t, "event.erased", e.Action)
			require.Equal(t, "gateway-cli", e.Actor)
			require.Contains(t, erased, *e.EntityID)
			require.JSONEq(t, `{"erasureId":"`+erasureID+`"}`, string(e.Details))
		}
		require.Equal(t, "records.erased", w.audit[10].Action)
		require.JSONEq(t, `{"erasureId":"`+erasureID+`","source":"acme","events":10,"webhooks":10,"others":10,"deliveries":10,"answers":20,"deadLetters":10,"quarantined":2}`,
			string(w.audit[10].Details))
		all, _ := json.Marshal(w.audit)
		require.NotContains(t, string(all), `"ada"`, "the trail does not say whom")
	})
}

func TestAnErasureThatWasCutOffGoesOn(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		batches := 0
		w.fail = func(string) error {
			if batches++; batches == 3 {
				return errors.New("killed")
			}
			return nil
		}
		_, gone, err := w.Erase(t.Context(), contract.Subject{Text: "ada"}, "gateway-cli")
		require.ErrorContains(t, err, "killed")
		erased, err := w.erased(t.Context())
		require.NoError(t, err)
		require.Len(t, erased, gone.Events, "a batch is erased whole or not at all")
		require.Len(t, w.audit, gone.Events, "and audited so")
		require.NotZero(t, gone.Events)

		_, rest, err := w.Erase(t.Context(), contract.Subject{Text: "ada"}, "gateway-cli")
		require.NoError(t, err)
		require.Equal(t, 10, gone.Events+rest.Events)
		_, none, err := w.Erase(t.Context(), contract.Subject{Text: "ada"}, "gateway-cli")
		require.NoError(t, err)
		require.Zero(t, none, "once all is erased there is nothing left")
	})
}

func TestTwoErasuresAtOnceEraseEachEventOnce(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		mine, err := w.eraseBatch(t.Context(), w.ids[:3], id.New(), "gateway-cli")
		require.NoError(t, err)
		require.Equal(t, 3, mine.Events)
		theirs, err := w.eraseBatch(t.Context(), w.ids[:4], id.New(), "gateway-cli")
		require.NoError(t, err)
		require.Equal(t, 1, theirs.Events, "those that the other had found too are erased already")
		require.Equal(t, 1, theirs.Deliveries)
		require.Len(t, w.audit, 4)
	})
}
