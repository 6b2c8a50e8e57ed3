package audit

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// One damaged group, or entry, kept every list, export and stream from answering anything.
func TestWhatCannotBeReadHidesNothingElse(t *testing.T) {
	for sentence, text := range map[string]string{
		"no JSON":                 `[["event.queued"`,
		"no array":                `{"a":1}`,
		"an entry without a part": `[["event.queued","0198a000-0000-7000-8000-000000000000"]]`,
		"details of another type": `[["event.queued","0198a000-0000-7000-8000-000000000000",null]]`,
	} {
		t.Run(sentence, func(t *testing.T) {
			testkit.EachStore(t, func(t *testing.T, db *database.DB) {
				said := &testkit.Log{}
				tr := newTrail(t, db, testKey)
				tr.log = slog.New(slog.NewTextHandler(said, nil))
				add := func(after time.Duration) (groupID, event string) {
					event = id.At(noon.Add(after))
					base := id.At(noon.Add(after + time.Second))
					require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
						return record(t.Context(), tx, []contract.AuditEntry{
							{EntityType: contract.EntityNormalizedEvent, EntityID: &event, Action: "event.queued", Actor: contract.ActorGateway},
							{EntityType: contract.EntityNormalizedEvent, EntityID: &event, Action: "event.delivered", Actor: contract.ActorGateway},
						}, func() string { return base }, nil)
					}))
					return baseOf(base), event
				}
				add(0)
				broken, entity := add(time.Minute)
				add(2 * time.Minute)
				tr.exec(`UPDATE audit_groups SET entries = $2 WHERE id = $1`, broken, text)
				garbage := tr.add(3 * time.Minute)
				tr.exec(`UPDATE audit_entries SET details = 'garbage' WHERE id = $1`, garbage)

				page := database.Page{Number: 1, Size: 20}
				for _, c := range []struct {
					want filter
					n    int
				}{{filter{}, 7}, {filter{action: "event.queued"}, 4}, {filter{entityID: entity}, 2}} {
					list, err := readEntries(t.Context(), db, tr.log, c.want, page)
					require.NoError(t, err)
					require.Len(t, list.Items, c.n, "%+v", c.want)
					named := 0
					for _, e := range list.Items {
						if e.Action == unreadable {
							named++
							require.Contains(t, e.Details, broken)
						}
						require.True(t, json.Valid(viewOf(e).Details))
					}
					require.Equal(t, 1, named)
				}
				require.Contains(t, said.String(), broken)

				var out bytes.Buffer
				n, err := tr.Export(t.Context(), &out)
				require.NoError(t, err)
				require.Equal(t, 7, n)
				require.Equal(t, 1, strings.Count(out.String(), unreadable))
				rows, err := tr.RowsAfter(t.Context(), minID, 100)
				require.NoError(t, err)
				entries, err := tr.EntriesOf(t.Context(), rows)
				require.NoError(t, err)
				require.Len(t, entries, 7)
				for _, e := range entries {
					require.True(t, json.Valid(e.Details))
				}
			})
		})
	}
}

// manySealsSQL makes 20,000 seals, of which every second is late and lies in the range of the one before it.
const manySealsSQL = `
INSERT INTO audit_seals (seq, first_id, last_id, count, late, leaves, sealed_by, swept_seq, previous_hash, hash, sealed_at, dropped_seq, dropped_hash)
SELECT i + 1, ('0195' || lpad(to_hex(i / 2 * 4 + i % 2), 8, '0') || '70008000000000000000')::uuid,
       ('0195' || lpad(to_hex(i / 2 * 4 + 2 - i % 2), 8, '0') || '70008000000000000000')::uuid, 0, i % 2 = 1, '', '', 0, '', '', now(), 0, ''
FROM   generate_series(0, 19999) AS i`

// Each portion of an export, and each seal of a proof, read all late seals; a portion all seals after it too.
func TestAPortionReadsTheSealsOfItsRange(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	for _, query := range []string{manySealsSQL, `ANALYZE audit_seals`} {
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), query)
			return err
		}))
	}
	for _, at := range []string{"01950000-0100-7000-8000-000000000000", "01950000-4e20-7000-8000-000000000000", "01950000-9c00-7000-8000-000000000000"} {
		after, err := lastSealedID(t.Context(), db, at)
		require.NoError(t, err)
		read, plan := testkit.RowsRead(t, db, selectNextSealedSQL, at)
		require.LessOrEqual(t, read, 2, plan)
		for _, query := range []string{selectSealsOverSQL, selectLateSQL} {
			read, plan := testkit.RowsRead(t, db, query, after, at)
			require.LessOrEqual(t, read, 4, "%s\n%s", query, plan)
		}
		read, plan = testkit.RowsRead(t, db, selectRetentionSQL, 20_000)
		require.Zero(t, read, plan)
	}
	ids, err := sealsOf(t.Context(), db, []unit{{entry: entry{ID: "01950000-0101-7000-8000-000000000000"}}, {entry: entry{ID: "01950000-0300-7000-8000-000000000000"}}})
	require.NoError(t, err)
	require.Empty(t, ids, "these have no leaves")
}
