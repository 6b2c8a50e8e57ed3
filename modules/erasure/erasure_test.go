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

// fixture stands in for the modules that own the records. Its events are rows of
// event_states, and erased_at marks the erased ones.
type fixture struct {
	*Module
	db      *database.DB
	ids     []string // of all events, in order
	of      map[string]string
	refused []string
	removed []string
	// forgotten are the subjects that replays forgot.
	forgotten []string
	audit     []contract.AuditEntry
	fail      func(action string) error // of the audit
}

func newFixture(t *testing.T, db *database.DB) *fixture {
	f := &fixture{db: db, of: map[string]string{}, fail: func(string) error { return nil }}
	f.Module = New(Config{Batch: 3}, Deps{DB: db, Log: slog.New(slog.DiscardHandler), Events: f, Deliveries: deliveries{f}, Replays: f, Audit: f})
	require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
		rows := database.NewRows("event_id uuid", "status text", "processing_attempts bigint", "received_at timestamptz", "updated_at timestamptz")
		for n := range 20 {
			eventID := id.New()
			f.ids = append(f.ids, eventID)
			f.of[eventID] = []string{"ada", "grace"}[n%2]
			rows.Add(eventID, "pending", 0, tx.Now, tx.Now)
		}
		return tx.Insert(t.Context(), "event_states", rows)
	}))
	return f
}

// EventsOf returns the events seven at a time.
func (f *fixture) EventsOf(ctx context.Context, s contract.Subject, after string) (ids []string, upTo string, done bool, err error) {
	rest := slices.DeleteFunc(slices.Clone(f.ids), func(eventID string) bool { return eventID <= after })
	done = len(rest) <= 7
	piece := rest[:min(7, len(rest))]
	erased, err := f.erased(ctx)
	for _, eventID := range piece {
		if f.of[eventID] == s.Text && !slices.Contains(erased, eventID) {
			ids = append(ids, eventID)
		}
	}
	return ids, piece[len(piece)-1], done, err
}

// OthersOf returns the next event of each: every event shares a webhook with the one after
// it.
func (f *fixture) OthersOf(_ context.Context, eventIDs []string) (ids []string, err error) {
	for _, eventID := range eventIDs {
		ids = append(ids, f.ids[slices.Index(f.ids, eventID)+1])
	}
	return ids, nil
}

func (f *fixture) erased(ctx context.Context) (ids []string, err error) {
	return ids, f.db.Select(ctx, &ids, `SELECT event_id FROM event_states WHERE erased_at IS NOT NULL ORDER BY event_id`)
}

func (f *fixture) LockStates(ctx context.Context, tx *database.Tx, eventIDs []string) (states []contract.EventState, err error) {
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

func (f *fixture) Forget(ctx context.Context, tx *database.Tx, eventIDs []string) (int, error) {
	n, err := tx.ExecRows(ctx, database.IDs(eventIDs), `UPDATE event_states SET erased_at = $1 FROM v WHERE event_id = v.id`, tx.Now)
	return int(n), err
}

func (f *fixture) MarkErasure(context.Context, string) error { return nil }

func (f *fixture) RefusedOf(context.Context, contract.Subject) ([]string, error) {
	return f.refused, nil
}

func (f *fixture) RemoveQuarantined(_ context.Context, quarantineID string) error {
	if quarantineID == "gone" {
		return fault.NotFound.New("not_quarantined", "It is gone.")
	}
	f.removed = append(f.removed, quarantineID)
	return nil
}

func (f *fixture) ForgetSubject(_ context.Context, tx *database.Tx, subject string) error {
	tx.AfterCommit(func() { f.forgotten = append(f.forgotten, subject) })
	return nil
}

func (f *fixture) Record(_ context.Context, tx *database.Tx, entries []contract.AuditEntry) error {
	tx.AfterCommit(func() { f.audit = append(f.audit, entries...) })
	return f.fail(entries[0].Action)
}

type deliveries struct{ *fixture }

func (deliveries) Forget(_ context.Context, _ *database.Tx, states []contract.EventState) (contract.ErasureCounts, error) {
	return contract.ErasureCounts{Deliveries: len(states), Answers: 2 * len(states), DeadLetters: len(states)}, nil
}

func TestAnErasureRemovesAllRecordsOfOneSubject(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := newFixture(t, db)
		f.refused = []string{"one", "gone", "two"}
		found, err := f.Count(t.Context(), contract.Subject{Text: "ada"})
		require.NoError(t, err)
		require.Equal(t, contract.ErasureCounts{Events: 10, Others: 10, Quarantined: 3}, found)
		erased, err := f.erased(t.Context())
		require.NoError(t, err)
		require.Empty(t, erased, "counting erases nothing")

		erasureID, gone, err := f.Erase(t.Context(), contract.Subject{Text: "ada", Source: "acme"}, "gateway-cli")
		require.NoError(t, err)
		require.Equal(t, contract.ErasureCounts{Events: 10, Webhooks: 10, Others: 10, Deliveries: 10, Answers: 20, DeadLetters: 10, Quarantined: 2}, gone)
		require.Equal(t, []string{"one", "two"}, f.removed)
		require.Equal(t, []string{"ada"}, f.forgotten)
		erased, err = f.erased(t.Context())
		require.NoError(t, err)
		require.Len(t, erased, 10)
		for _, eventID := range erased {
			require.Equal(t, "ada", f.of[eventID])
		}
		require.Len(t, f.audit, 11)
		for _, e := range f.audit[:10] {
			require.Equal(t, "event.erased", e.Action)
			require.Equal(t, "gateway-cli", e.Actor)
			require.Contains(t, erased, *e.EntityID)
			require.JSONEq(t, `{"erasureId":"`+erasureID+`"}`, string(e.Details))
		}
		require.Equal(t, "records.erased", f.audit[10].Action)
		require.JSONEq(t, `{"erasureId":"`+erasureID+`","source":"acme","events":10,"webhooks":10,"others":10,"deliveries":10,"answers":20,"deadLetters":10,"quarantined":2}`,
			string(f.audit[10].Details))
		all, _ := json.Marshal(f.audit)
		require.NotContains(t, string(all), `"ada"`, "the trail does not name the subject")
	})
}

func TestAnInterruptedErasureCanBeRunAgain(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := newFixture(t, db)
		batches := 0
		f.fail = func(string) error {
			if batches++; batches == 3 {
				return errors.New("killed")
			}
			return nil
		}
		_, gone, err := f.Erase(t.Context(), contract.Subject{Text: "ada"}, "gateway-cli")
		require.ErrorContains(t, err, "killed")
		erased, err := f.erased(t.Context())
		require.NoError(t, err)
		require.Len(t, erased, gone.Events, "a batch is erased completely or not at all")
		require.Len(t, f.audit, gone.Events, "and audited accordingly")
		require.NotZero(t, gone.Events)

		_, rest, err := f.Erase(t.Context(), contract.Subject{Text: "ada"}, "gateway-cli")
		require.NoError(t, err)
		require.Equal(t, 10, gone.Events+rest.Events)
		_, none, err := f.Erase(t.Context(), contract.Subject{Text: "ada"}, "gateway-cli")
		require.NoError(t, err)
		require.Zero(t, none, "nothing is left to erase")
	})
}

func TestConcurrentErasuresEraseEachEventOnce(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := newFixture(t, db)
		mine, err := f.eraseBatch(t.Context(), f.ids[:3], id.New(), "gateway-cli")
		require.NoError(t, err)
		require.Equal(t, 3, mine.Events)
		theirs, err := f.eraseBatch(t.Context(), f.ids[:4], id.New(), "gateway-cli")
		require.NoError(t, err)
		require.Equal(t, 1, theirs.Events, "events that both found are already erased")
		require.Equal(t, 1, theirs.Deliveries)
		require.Len(t, f.audit, 4)
	})
}
