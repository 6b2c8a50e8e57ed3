package database_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

func TestRowsGoInAndOutUnchangedOnBothEngines(t *testing.T) {
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

func TestATransactionThatFailsLeavesNothingAndAnnouncesNothing(t *testing.T) {
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

func TestALeaseIsCountedByTheDatabasesClock(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		var later, earlier bool
		require.NoError(t, db.Get(context.Background(), &later, `SELECT `+db.Dialect.LeaseIn("$1")+` > `+db.Dialect.LeaseNow, 1500))
		require.NoError(t, db.Get(context.Background(), &earlier, `SELECT `+db.Dialect.LeaseIn("$1")+` < `+db.Dialect.LeaseNow, -1500))
		require.True(t, later)
		require.True(t, earlier)
	})
}
