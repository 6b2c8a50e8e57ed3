package database_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/testkit"
)

func TestInspect(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		i, err := db.Inspect(t.Context())
		require.NoError(t, err)
		require.Equal(t, db.Dialect.Name, i.Engine)
		require.Regexp(t, `^\d+\.\d+`, i.Version)
		if i.Engine == "sqlite" {
			require.Equal(t, map[string]string{"journal_mode": "wal", "synchronous": "2"}, i.Settings)
			return
		}
		require.GreaterOrEqual(t, i.Major, 14)
		require.Positive(t, i.Connections)
		require.Positive(t, i.Number("max_connections"))
		require.Equal(t, "UTF8", i.Settings["server_encoding"])
		require.NotEmpty(t, i.Settings["fsync"])
	})
}

func TestCheckWritable(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		before := installation(t, db)
		require.NoError(t, db.CheckWritable(t.Context()))
		require.Equal(t, before, installation(t, db))
	})
	url := testkit.Postgres(t)
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	db, err := database.Open(database.Config{URL: url + separator + "default_transaction_read_only=on"}, clock.System)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	require.Error(t, db.CheckWritable(t.Context()), "it takes no writes")
}

func TestASQLiteFileThatIsLockedIsNotWritable(t *testing.T) {
	url := testkit.SQLite(t)
	db := testkit.Open(t, url)
	held, release := make(chan struct{}), make(chan struct{})
	ended := make(chan error)
	go func() {
		ended <- testkit.Open(t, url).InTx(context.Background(), func(tx *database.Tx) error {
			_, err := tx.Exec(context.Background(), `UPDATE installation SET id = id`)
			close(held)
			<-release
			return err
		})
	}()
	<-held
	err := db.CheckWritable(t.Context())
	close(release)
	require.NoError(t, <-ended)
	require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
	require.NoError(t, db.CheckWritable(t.Context()))
	_, err = os.Stat(strings.TrimPrefix(url, "sqlite://"))
	require.NoError(t, err)
}

func installation(t *testing.T, db *database.DB) (id string) {
	t.Helper()
	require.NoError(t, db.Get(t.Context(), &id, `SELECT id FROM installation`))
	return id
}

func TestSchema(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		s, err := db.Schema(t.Context())
		require.NoError(t, err)
		require.Equal(t, s.Needed, s.Version)
		require.False(t, s.Dirty)
	})
	empty := testkit.Open(t, testkit.EmptyPostgres(t))
	s, err := empty.Schema(t.Context())
	require.NoError(t, err)
	require.Zero(t, s.Version)
	require.Positive(t, s.Needed)
}
