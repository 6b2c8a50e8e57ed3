package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

var testKey = SealKey{ID: "k1", Key: []byte("a key of the trail's own, 32 byte")}

// trail is a module with a settable clock. It can also write to the tables directly.
type trail struct {
	*Module
	t   *testing.T
	now time.Time
}

func newTrail(t *testing.T, db *database.DB, keys ...SealKey) *trail {
	tr := &trail{t: t, now: noon}
	tr.Module = newModule(db, func() time.Time { return tr.now }, Config{SealKeys: keys})
	return tr
}

func (tr *trail) exec(query string, args ...any) {
	tr.t.Helper()
	require.NoError(tr.t, tr.db.InTx(context.Background(), func(tx *database.Tx) error {
		n, err := tx.Exec(context.Background(), query, args...)
		require.Positive(tr.t, n, query)
		return err
	}))
}

// add writes an entry made that long after noon.
func (tr *trail) add(after time.Duration) string {
	tr.t.Helper()
	made := id.At(noon.Add(after))
	require.NoError(tr.t, tr.db.InTx(context.Background(), func(tx *database.Tx) error {
		rows := newEntryRows()
		rows.Add(made, "normalized_event", nil, "event.queued", "gateway", `{"n":1}`, noon.Add(after), nil)
		return insertEntries(context.Background(), tx, rows)
	}))
	return made
}

func (tr *trail) seal(after time.Duration) {
	tr.t.Helper()
	tr.now = noon.Add(after)
	require.NoError(tr.t, tr.sealDue(context.Background(), 0))
}

func (tr *trail) prove(cfg ProofConfig) Proof {
	tr.t.Helper()
	p, err := tr.Prove(context.Background(), cfg)
	require.NoError(tr.t, err)
	require.Equal(tr.t, p.Broken == nil, p.Holds)
	return p
}

func TestEntriesAreSealedAfterADelay(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		tr := newTrail(t, db, testKey)
		require.Equal(t, Proof{Holds: true}, tr.prove(ProofConfig{}))
		tr.seal(time.Hour)
		require.Zero(t, tr.prove(ProofConfig{}).Seals, "an empty trail gets no seal")

		tr.add(0)
		tr.seal(2*time.Second - time.Millisecond)
		require.Equal(t, Proof{Holds: true, Waiting: 1}, tr.prove(ProofConfig{}), "entries before it may still commit")
		tr.seal(2*time.Second + 2*time.Millisecond)
		p := tr.prove(ProofConfig{})
		require.Equal(t, Proof{Holds: true, Seals: 1, Entries: 1, Head: p.Head}, p)

		for i := range leavesPerSeal + 1 {
			tr.add(time.Minute + time.Duration(i)*time.Millisecond)
		}
		tr.seal(time.Hour)
		p = tr.prove(ProofConfig{})
		require.Equal(t, Proof{Holds: true, Seals: 3, Entries: leavesPerSeal + 2, Head: p.Head}, p)
	})
}

func TestAnEntryThatCommitsLateGetsALateSeal(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		tr := newTrail(t, db, testKey)
		tr.cfg.RecheckAfter = time.Hour // see the test below
		tr.add(0)
		tr.add(2 * time.Second)
		tr.seal(2 * time.Minute)
		tr.add(4 * time.Second)
		tr.seal(3 * time.Minute)
		among, between := tr.add(time.Second), tr.add(3*time.Second)

		require.Equal(t, 2, tr.prove(ProofConfig{}).Waiting, "not rechecked yet")
		tr.seal(12*time.Minute - time.Millisecond)
		require.Equal(t, 2, tr.prove(ProofConfig{}).Waiting)
		tr.seal(12 * time.Minute)
		p := tr.prove(ProofConfig{})
		require.Equal(t, Proof{Holds: true, Seals: 3, Entries: 4, Late: 1, Waiting: 1, Head: p.Head}, p)
		tr.seal(13 * time.Minute)
		p = tr.prove(ProofConfig{})
		require.Equal(t, Proof{Holds: true, Seals: 4, Entries: 5, Late: 2, Head: p.Head}, p)

		for _, entryID := range []string{among, between} {
			tr.exec(`UPDATE audit_entries SET actor = 'nobody' WHERE id = $1`, entryID)
			require.Equal(t, entryID, tr.prove(ProofConfig{}).Broken.EntryID, "a late seal protects its entries too")
			tr.exec(`UPDATE audit_entries SET actor = 'gateway' WHERE id = $1`, entryID)
		}
		again := newTrail(t, db, testKey)
		again.seal(time.Hour)
		require.Equal(t, p, again.prove(ProofConfig{}), "a process that starts later seals nothing twice")
	})
}

// An entry from a process whose clock is behind, or from a slow transaction, is sealed at
// the recheck a minute after its range was sealed.
func TestLateEntriesAreSealedAfterAMinute(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		tr := newTrail(t, db, testKey)
		tr.seal(0)
		tr.add(10 * time.Second)
		tr.seal(13 * time.Second)
		late := tr.add(9 * time.Second)
		tr.seal(72 * time.Second)
		require.Equal(t, 1, tr.prove(ProofConfig{}).Waiting)
		tr.seal(73 * time.Second)
		p := tr.prove(ProofConfig{})
		require.Equal(t, Proof{Holds: true, Seals: 2, Entries: 2, Late: 1, Head: p.Head}, p)
		tr.seal(time.Hour)
		require.Equal(t, p, tr.prove(ProofConfig{}), "sealed once")
		tr.exec(`DELETE FROM audit_entries WHERE id = $1`, late)
		require.Equal(t, breakDeleted, tr.prove(ProofConfig{}).Broken.Kind)
	})
}

// The defaults keep what the documents promise: deleting an entry four seconds after it was
// written is detected.
func TestAnEntryIsSealedWithinSeconds(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		m := New(Config{SealKeys: []SealKey{testKey}}, Deps{DB: db, Log: slog.New(slog.DiscardHandler), Now: clock.System})
		require.LessOrEqual(t, m.cfg.SealEvery+m.cfg.SealAfter, 4*time.Second)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Seal(ctx) }()
		require.NoError(t, db.InTx(ctx, func(tx *database.Tx) error {
			return m.Record(ctx, tx, []contract.AuditEntry{{EntityType: "records", Action: "records.erased", Actor: "somebody"}})
		}))
		require.Eventually(t, func() bool {
			newest, err := newestSeal(ctx, db)
			return err == nil && newest.Seq == 1
		}, time.Minute, 10*time.Millisecond)
		stop()
		require.NoError(t, <-done)
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), `DELETE FROM audit_entries`)
			return err
		}))
		p, err := m.Prove(t.Context(), ProofConfig{})
		require.NoError(t, err)
		require.Equal(t, breakDeleted, p.Broken.Kind)
	})
}

func TestTheFirstViolationIsReported(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		tr := newTrail(t, db, testKey)
		first := tr.add(0)
		tr.seal(2 * time.Minute)
		second := tr.add(3 * time.Minute)
		tr.seal(5 * time.Minute)
		tr.add(6 * time.Minute)
		tr.seal(20 * time.Minute) // sweeps both, which the next seal records
		tr.add(21 * time.Minute)
		tr.seal(40 * time.Minute)
		tr.add(41 * time.Minute)
		tr.seal(60 * time.Minute)
		require.True(t, tr.prove(ProofConfig{}).Holds)
		head := tr.prove(ProofConfig{})

		for column, value := range map[string]string{"entity_type": "x", "action": "x", "actor": "x", "details": "{}"} {
			var was string
			require.NoError(t, db.Get(context.Background(), &was, `SELECT `+column+` FROM audit_entries WHERE id = $1`, second))
			tr.exec(`UPDATE audit_entries SET `+column+` = $2 WHERE id = $1`, second, value)
			p := tr.prove(ProofConfig{})
			require.Equal(t, []any{int64(2), second, breakChanged}, []any{p.Broken.Seal, p.Broken.EntryID, p.Broken.Kind}, column)
			require.Equal(t, 1, p.Entries)
			tr.exec(`UPDATE audit_entries SET `+column+` = $2 WHERE id = $1`, second, was)
		}
		tr.exec(`UPDATE audit_entries SET entity_id = $2 WHERE id = $1`, second, first)
		require.Equal(t, breakChanged, tr.prove(ProofConfig{}).Broken.Kind)
		tr.exec(`UPDATE audit_entries SET entity_id = NULL, created_at = $2 WHERE id = $1`, second, noon)
		require.Equal(t, breakChanged, tr.prove(ProofConfig{}).Broken.Kind)
		tr.exec(`UPDATE audit_entries SET created_at = $2 WHERE id = $1`, second, noon.Add(3*time.Minute))
		require.True(t, tr.prove(ProofConfig{}).Holds, "everything is restored")

		inserted := tr.add(time.Minute)
		require.Equal(t, &Break{2, inserted, breakInserted, "it lies in the seal's range, but no seal contains it"}, tr.prove(ProofConfig{}).Broken)
		tr.exec(`DELETE FROM audit_entries WHERE id = $1`, inserted)

		tr.exec(`UPDATE audit_seals SET count = 2 WHERE seq = 2`)
		require.Equal(t, []any{int64(2), breakSeal}, []any{tr.prove(ProofConfig{}).Broken.Seal, tr.prove(ProofConfig{}).Broken.Kind})
		tr.exec(`UPDATE audit_seals SET count = 1 WHERE seq = 2`)

		tr.exec(`DELETE FROM audit_entries WHERE id = $1`, first)
		require.Equal(t, &Break{1, first, breakDeleted, "it was sealed and has been deleted"}, tr.prove(ProofConfig{}).Broken)
		p := tr.prove(ProofConfig{RetainedFrom: noon.Add(time.Millisecond)})
		require.True(t, p.Holds, "retention removed it")
		require.Equal(t, 1, p.Removed)
		require.False(t, tr.prove(ProofConfig{RetainedFrom: noon}).Holds, "it is within the retention")

		kept := ProofConfig{RetainedFrom: noon.Add(time.Minute), AnchorSeq: head.Seals, AnchorHash: head.Head}
		require.True(t, tr.prove(kept).Holds)
		tr.exec(`DELETE FROM audit_seals WHERE seq = $1`, head.Seals)
		require.Equal(t, breakAnchor, tr.prove(kept).Broken.Kind, "the end was cut off")
		tr.exec(`DELETE FROM audit_seals WHERE seq = 3`)
		require.Equal(t, []any{int64(3), breakMissing}, []any{tr.prove(kept).Broken.Seal, tr.prove(kept).Broken.Kind})
	})
}

func TestSealsCannotBeForgedWithoutTheKey(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		plain := newTrail(t, db)
		plain.add(0)
		plain.seal(2 * time.Minute)
		require.EqualValues(t, 1, plain.prove(ProofConfig{}).Unkeyed)
		tr := newTrail(t, db, testKey)
		entryID := tr.add(3 * time.Minute)
		tr.seal(5 * time.Minute)
		p := tr.prove(ProofConfig{})
		require.Equal(t, Proof{Holds: true, Seals: 2, Entries: 2, Unkeyed: 1, Head: p.Head}, p, "a key may be added later")
		plain.now = tr.now
		require.ErrorIs(t, plain.sealDue(context.Background(), 0), errSealKeyMissing)
		require.Equal(t, breakKey, plain.prove(ProofConfig{}).Broken.Kind)

		// A forger changes an entry and remakes its seal, without a key and with another key.
		tr.exec(`UPDATE audit_entries SET actor = 'nobody' WHERE id = $1`, entryID)
		seals, err := readSeals(context.Background(), db, 0, 2, 2)
		require.NoError(t, err)
		for _, key := range []SealKey{{ID: testKey.ID, Key: []byte("another")}, {}} {
			leaves, err := key.leavesByID(context.Background(), db, []string{entryID})
			require.NoError(t, err)
			forged, err := key.sealOf(seals[0], leaves, false, 0, clock.At(tr.now))
			require.NoError(t, err)
			tr.exec(`UPDATE audit_seals SET leaves = $1, hash = $2, sealed_by = $3, sealed_at = $4 WHERE seq = 2`,
				forged.Leaves, forged.Hash, forged.KeyID, forged.SealedAt.Time)
			if key.ID != "" {
				require.Equal(t, breakSeal, tr.prove(ProofConfig{}).Broken.Kind)
			}
		}
		require.True(t, tr.prove(ProofConfig{}).Holds, "anyone can remake a whole chain without a key")
		require.EqualValues(t, 2, tr.prove(ProofConfig{}).Unkeyed, "and the proof says so")
		tr.add(6 * time.Minute)
		tr.seal(8 * time.Minute)
		require.NotEqual(t, p.Head, tr.prove(ProofConfig{}).Head)
		require.Equal(t, breakAnchor, tr.prove(ProofConfig{AnchorSeq: 2, AnchorHash: p.Head}).Broken.Kind, "an anchor exposes it")
	})
}

func TestConcurrentSealersMakeEachSealOnce(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		tr := newTrail(t, db, testKey)
		for i := range 50 {
			tr.add(time.Duration(i) * time.Millisecond)
		}
		ended := make(chan error)
		for range 4 {
			other := newTrail(t, db, testKey)
			other.now = noon.Add(time.Hour)
			go func() { ended <- other.sealDue(context.Background(), 0) }()
		}
		for range 4 {
			require.NoError(t, <-ended)
		}
		p := tr.prove(ProofConfig{})
		require.Equal(t, Proof{Holds: true, Seals: 1, Entries: 50, Head: p.Head}, p)
	})
}

func TestTheExportHasEveryEntryWithItsSeal(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		tr := newTrail(t, db, testKey)
		want := []string{tr.add(0)}
		tr.seal(2 * time.Minute)
		want = append(want, tr.add(3*time.Minute))
		tr.now = noon.Add(3 * time.Minute)
		var out bytes.Buffer
		n, err := tr.Export(context.Background(), &out)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		require.Len(t, lines, 2)
		for i, seal := range []string{"1", "null"} {
			require.JSONEq(t, `{"seal":`+seal+`,"id":"`+want[i]+`","entityType":"normalized_event","entityId":null,"action":"event.queued",`+
				`"actor":"gateway","details":{"n":1},"createdAt":"`+clock.At(noon.Add(time.Duration(3*i)*time.Minute)).String()+`"}`, lines[i])
			require.True(t, json.Valid([]byte(lines[i])))
		}
	})
}

// TestASealOfAnotherProcessDoesNotEndTheFinalCheck: another process seals new entries under the
// number that the final check was about to use. The check then counted the range as done, and
// what had committed late in it was never sealed.
func TestASealOfAnotherProcessDoesNotEndTheFinalCheck(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		tr, other := newTrail(t, db, testKey), newTrail(t, db, testKey)
		tr.cfg.RecheckAfter, other.cfg.RecheckAfter = time.Hour, time.Hour
		tr.add(0)
		tr.add(2 * time.Second)
		tr.seal(time.Minute)
		tr.add(time.Second) // late
		newest, err := newestSeal(t.Context(), db)
		require.NoError(t, err)
		tr.add(5 * time.Minute)
		other.seal(6 * time.Minute) // makes seal 2
		tr.now = noon.Add(12 * time.Minute)
		_, err = tr.sweep(t.Context(), newest) // as it was read before
		require.NoError(t, err)
		p := tr.prove(ProofConfig{})
		require.Equal(t, Proof{Holds: true, Seals: 3, Entries: 4, Late: 1, Head: p.Head}, p)
	})
}
