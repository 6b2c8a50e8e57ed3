package app

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

func TestRevertingMigrationsSaysWhatIsLostAndAsks(t *testing.T) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			cfg := devConfig(t)
			cfg.Database.URL = secret.New(url(t))
			db := testkit.Open(t, cfg.Database.URL.Reveal())
			now := clock.System()
			rows := database.NewRows("event_id uuid", "status text", "processing_attempts bigint", "received_at timestamptz", "updated_at timestamptz")
			rows.Add(id.New(), "pending", 0, now, now)
			rows.Add(id.New(), "pending", 0, now, now)
			require.NoError(t, db.InTx(ctx, func(tx *database.Tx) error { return tx.Insert(ctx, "event_states", rows) }))
			before, _, err := MigrationVersion(ctx, cfg, quiet)
			require.NoError(t, err)

			no := errors.New("no")
			var said bytes.Buffer
			_, err = MigrateDown(ctx, cfg, quiet, 0, &said, func() error { return no })
			require.ErrorIs(t, err, no)
			called, err := db.Name(ctx)
			require.NoError(t, err)
			require.Contains(t, said.String(), "The database "+called+" will lose ")
			require.Contains(t, said.String(), "with 2 events: alert_certificates, ")
			require.Contains(t, said.String(), "webhook_events")
			require.NotContains(t, called, "postgres@", "no user and password")
			require.ErrorIs(t, MigrateForce(ctx, cfg, quiet, 9, &said, func() error { return no }), no)
			require.Contains(t, said.String(), "The database "+called+" will be marked as version 9; it is at version "+strconv.Itoa(int(before)))
			require.Equal(t, 2, tableCount(t, db, "event_states"), "nothing was done")
			after, _, err := MigrationVersion(ctx, cfg, quiet)
			require.NoError(t, err)
			require.Equal(t, before, after)

			yes := func() error { return nil }
			version, err := MigrateDown(ctx, cfg, quiet, 0, &said, yes)
			require.NoError(t, err)
			require.Zero(t, version)
			_, err = MigrateDown(ctx, cfg, quiet, 0, &said, func() error { return no })
			require.NoError(t, err, "nothing is lost, so no confirmation is needed")
		})
	}
}
