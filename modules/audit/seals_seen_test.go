package audit

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

type countedLosses int

func (c *countedLosses) SealsLost() { *c++ }

// Whoever removed the newest seals could change what they had sealed: it was sealed anew, and the proof held.
func TestSealsThatAreGoneAreTold(t *testing.T) {
	for sentence, lose := range map[string]func(*trail){
		"the newest are removed": func(tr *trail) { tr.exec(`DELETE FROM audit_seals WHERE seq >= 2`) },
		"all are removed":        func(tr *trail) { tr.exec(`DELETE FROM audit_seals`) },
		"another is in its place, and a newer one": func(tr *trail) {
			tr.exec(`DELETE FROM audit_seals WHERE seq >= 2`)
			other := newTrail(tr.t, tr.db, testKey)
			other.seal(9 * time.Minute)
			other.add(9 * time.Minute)
			other.seal(10 * time.Minute)
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			testkit.EachStore(t, func(t *testing.T, db *database.DB) {
				losses, said := countedLosses(0), &testkit.Log{}
				tr := newTrail(t, db, testKey)
				tr.metrics, tr.log = &losses, slog.New(slog.NewTextHandler(said, nil))
				peer := newTrail(t, db, testKey)
				tr.add(0)
				tr.seal(2 * time.Minute)
				changed := tr.add(3 * time.Minute)
				tr.seal(5 * time.Minute)
				peer.seal(5 * time.Minute)
				seen := tr.prove(ProofConfig{})
				require.Empty(t, seen.Lost)
				require.EqualValues(t, 2, seen.Seals)

				tr.exec(`UPDATE audit_entries SET actor = 'nobody' WHERE id = $1`, changed)
				lose(tr)
				tr.seal(20 * time.Minute)
				tr.seal(21 * time.Minute)
				peer.seal(22 * time.Minute)
				p := tr.prove(ProofConfig{})
				require.True(t, p.Holds, "sealing goes on, as after a failover")
				require.Len(t, p.Lost, 1, "said once by all")
				require.Equal(t, LostSeals{At: p.Lost[0].At, Seen: 2, Found: p.Lost[0].Found, Hash: seen.Head}, p.Lost[0])
				require.Equal(t, countedLosses(1), losses)
				require.Equal(t, 1, strings.Count(said.String(), "the database has lost seals"))

				fresh := newTrail(t, db, testKey)
				fresh.seal(30 * time.Minute)
				require.Len(t, fresh.prove(ProofConfig{}).Lost, 1, "a process that starts has seen nothing else")
				tr.add(40 * time.Minute)
				tr.seal(50 * time.Minute)
				require.Len(t, tr.prove(ProofConfig{}).Lost, 1, "and it is not said again")
			})
		})
	}
}

// What is gone is told before anything is sealed: otherwise a process that dies then would have told nobody.
func TestNothingIsSealedBeforeALossIsTold(t *testing.T) {
	db := testkit.Open(t, testkit.SQLite(t))
	tr := newTrail(t, db, testKey)
	tr.add(0)
	tr.seal(2 * time.Minute)
	tr.exec(`DELETE FROM audit_seals`)
	tr.now = noon.Add(4 * time.Minute)
	require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
		_, err := tx.Exec(t.Context(), `CREATE TRIGGER full BEFORE INSERT ON audit_entries BEGIN SELECT RAISE(ABORT, 'full'); END`)
		return err
	}))
	require.ErrorContains(t, tr.sealDue(context.Background(), 0), "audit that seals are gone")
	require.Zero(t, tr.prove(ProofConfig{}).Seals)
	require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
		_, err := tx.Exec(t.Context(), `DROP TRIGGER full`)
		return err
	}))
	tr.seal(5 * time.Minute)
	require.Len(t, tr.prove(ProofConfig{}).Lost, 1)
}
