package database_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

func TestRowsRoundTripUnchangedOnBothEngines(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		ctx := context.Background()
		first, second := id.New(), id.New()
		now := clock.System()
		text := `a "quote", a \ back, a {brace}, NULL, ü and a ' tick`
		rows := database.NewRows("id uuid", "entity_type text", "entity_id uuid", "action text", "actor text", "details text", "created_at timestamptz")
		rows.Add(first, text, &second, "a", "b", "", now)
		rows.Add(second, "x", nil, "", "NULL", "{}", now.Add(time.Microsecond))
		require.NoError(t, db.InTx(ctx, func(tx *database.Tx) error { return tx.Insert(ctx, "audit_entries", rows) }))

		var got []struct {
			ID       string     `db:"id"`
			Type     string     `db:"entity_type"`
			EntityID *string    `db:"entity_id"`
			Actor    string     `db:"actor"`
			Created  clock.Time `db:"created_at"`
		}
		require.NoError(t, db.SelectRows(ctx, &got, database.IDs([]string{first, second}),
			`SELECT a.id, a.entity_type, a.entity_id, a.actor, a.created_at FROM audit_entries a JOIN v ON v.id = a.id WHERE a.id <> $1 ORDER BY a.id`, id.New()))
		require.Len(t, got, 2)
		require.Equal(t, first, got[0].ID)
		require.Equal(t, text, got[0].Type)
		require.Equal(t, &second, got[0].EntityID)
		require.Equal(t, clock.At(now), got[0].Created)
		require.Nil(t, got[1].EntityID)
		require.Equal(t, "NULL", got[1].Actor)
		require.Equal(t, clock.At(now.Add(time.Microsecond)), got[1].Created)
	})
}

func TestBytesOfAnySizeRoundTripUnchanged(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		ctx := context.Background()
		for _, sizes := range [][]int{{0}, {1, 0}, {64 << 10}, {64<<10 + 1}, {1, 3 << 20, 0, 2 << 20}} {
			rows := database.NewRows("id uuid", "request_headers bytea", "raw_body bytea", "source_ip text")
			want := map[string][]byte{}
			ids := []string{}
			for i, size := range sizes {
				body := make([]byte, size)
				for n := range body {
					body[n] = byte(n*7 + i) // every byte value
				}
				ids = append(ids, id.New())
				want[ids[i]] = body
				rows.Add(ids[i], []byte("{}"), body, "")
			}
			require.NoError(t, db.InTx(ctx, func(tx *database.Tx) error { return tx.Insert(ctx, "webhook_events", rows) }))
			var got []struct {
				ID   string `db:"id"`
				Body []byte `db:"raw_body"`
			}
			require.NoError(t, db.SelectRows(ctx, &got, database.IDs(ids), `SELECT w.id, w.raw_body FROM webhook_events w JOIN v ON v.id = w.id`))
			require.Len(t, got, len(sizes))
			for _, row := range got {
				require.True(t, bytes.Equal(want[row.ID], row.Body), "%v", sizes)
			}
		}
	})
}

func TestAFailedTransactionWritesNothingAndRunsNoAfterCommit(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		ctx := context.Background()
		announced := false
		err := db.InTx(ctx, func(tx *database.Tx) error {
			tx.AfterCommit(func() { announced = true })
			if _, err := tx.Exec(ctx, `DELETE FROM installation`); err != nil {
				return err
			}
			return context.Canceled
		})
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, announced)
		var n int
		require.NoError(t, db.Get(ctx, &n, `SELECT count(*) FROM installation`))
		require.Equal(t, 1, n)
	})
}

func TestLeasesUseTheDatabasesClock(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		var later, earlier bool
		require.NoError(t, db.Get(context.Background(), &later, `SELECT `+db.Dialect.LeaseIn("$1")+` > `+db.Dialect.LeaseNow, 1500))
		require.NoError(t, db.Get(context.Background(), &earlier, `SELECT `+db.Dialect.LeaseIn("$1")+` < `+db.Dialect.LeaseNow, -1500))
		require.True(t, later)
		require.True(t, earlier)
	})
}
