package audit

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// retain removes the entries from before that long after noon, as retention does.
func (tr *trail) retain(after time.Duration) {
	tr.t.Helper()
	require.NoError(tr.t, tr.Retain(tr.t.Context(), noon.Add(after)))
	require.NoError(tr.t, tr.db.InTx(tr.t.Context(), func(tx *database.Tx) error {
		_, err := tx.Exec(tr.t.Context(), `DELETE FROM audit_entries WHERE id < $1`, id.Floor(noon.Add(after)))
		return err
	}))
}

func (tr *trail) seals() (n int) {
	tr.t.Helper()
	require.NoError(tr.t, tr.db.Get(tr.t.Context(), &n, `SELECT count(*) FROM audit_seals`))
	return n
}

// After a year, what ordinary retention had removed was called tampering, unless the auditor said from when on
// nothing may be missing.
func TestAProofKnowsWhatRetentionRemoved(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		tr := newTrail(t, db, testKey)
		require.NoError(t, tr.Retain(t.Context(), noon), "nothing is sealed yet")
		tr.add(0)
		tr.seal(time.Minute)
		kept := tr.add(30 * time.Minute)
		tr.seal(40 * time.Minute)
		require.True(t, tr.prove(ProofConfig{}).Holds)
		tr.retain(20 * time.Minute)
		p := tr.prove(ProofConfig{})
		require.Equal(t, Proof{Holds: true, Seals: 3, Entries: 1, Removed: 1, Head: p.Head}, p)
		tr.add(50 * time.Minute)
		tr.seal(time.Hour)
		require.True(t, tr.prove(ProofConfig{}).Holds, "the chain goes on")

		tr.exec(`DELETE FROM audit_entries WHERE id = $1`, kept)
		require.Equal(t, &Break{2, kept, breakDeleted, "it was sealed and has been deleted"}, tr.prove(ProofConfig{}).Broken)
		tr.exec(`UPDATE audit_seals SET retained_from = $1 WHERE retained_from IS NOT NULL`, noon.Add(time.Hour))
		require.Equal(t, breakSeal, tr.prove(ProofConfig{}).Broken.Kind, "nobody can say so without the key")

		plain := newTrail(t, db)
		require.ErrorIs(t, plain.Retain(t.Context(), noon), errSealKeyMissing)
	})
}

// The seals of entries that were long removed stayed for ever.
func TestSealsAreRemovedWithTheirEntries(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		tr := newTrail(t, db, testKey)
		anchors := map[int64]string{}
		most := 0
		for hour := range 40 {
			at := time.Duration(hour) * time.Hour
			tr.add(at)
			tr.add(at + 10*time.Second)
			tr.seal(at + time.Minute)
			tr.add(at + 5*time.Second)
			tr.seal(at + 20*time.Minute) // a late seal
			tr.add(at + 30*time.Minute)
			tr.seal(at + 50*time.Minute)
			if hour > 5 {
				tr.retain(at - 5*time.Hour)
			}
			p := tr.prove(ProofConfig{})
			require.True(t, p.Holds, "hour %d: %+v", hour, p.Broken)
			anchors[p.Seals] = p.Head
			most = max(most, tr.seals())
		}
		require.Less(t, most, 40, "of some %d", 40*4)
		first, err := readSeals(t.Context(), db, 0, 1000, 1)
		require.NoError(t, err)
		require.Greater(t, first[0].Seq, int64(100))
		for seq, hash := range anchors {
			proof, err := tr.Prove(t.Context(), ProofConfig{AnchorSeq: seq, AnchorHash: hash})
			if seq < first[0].Seq-1 {
				require.ErrorContains(t, err, "was removed by retention")
				continue
			}
			require.NoError(t, err)
			require.True(t, proof.Holds, "the anchor of seal %d", seq)
		}
		proof, err := tr.Prove(t.Context(), ProofConfig{AnchorSeq: first[0].Seq - 1, AnchorHash: "another"})
		require.NoError(t, err)
		require.Equal(t, breakAnchor, proof.Broken.Kind, "the last that was removed is known")

		tr.exec(`DELETE FROM audit_seals WHERE seq = $1`, first[0].Seq)
		require.Equal(t, breakMissing, tr.prove(ProofConfig{}).Broken.Kind, "one more was removed")
	})
}

// A quiet installation keeps its last seals, and what comes after them is sealed.
func TestTheLastSealsStay(t *testing.T) {
	db := testkit.Open(t, testkit.SQLite(t))
	tr, peer := newTrail(t, db, testKey), newTrail(t, db, testKey)
	tr.add(0)
	tr.seal(time.Minute)
	peer.seal(2 * time.Minute)
	for day := range 5 {
		tr.now = noon.Add(time.Duration(400+day) * 24 * time.Hour)
		tr.retain(time.Duration(day+1) * 24 * time.Hour)
		require.True(t, tr.prove(ProofConfig{}).Holds)
	}
	peer.seal(500 * 24 * time.Hour)
	tr.add(500 * 24 * time.Hour)
	tr.seal(501 * 24 * time.Hour)
	p := tr.prove(ProofConfig{})
	require.True(t, p.Holds)
	require.Equal(t, 1, p.Entries)
	require.Empty(t, p.Lost, "no process misses what it has seen")
}
