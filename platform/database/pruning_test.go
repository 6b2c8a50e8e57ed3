package database_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

func TestEveryTableHasItsPartitionsAhead(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	have, err := db.Partitions(t.Context())
	require.NoError(t, err)
	ends := map[string]time.Time{}
	for _, p := range have {
		if end := id.Time(p.To); end.After(ends[p.Table]) {
			ends[p.Table] = end
		}
	}
	require.Len(t, ends, len(database.PartitionedTables()))
	for _, table := range database.PartitionedTables() {
		require.Greater(t, time.Until(ends[table.Table]), 21*24*time.Hour, table.Table)
	}
	none, err := testkit.Open(t, testkit.SQLite(t)).Partitions(t.Context())
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestConcurrentProcessesCreatePartitionsOnce(t *testing.T) {
	url := testkit.Postgres(t)
	later := func() time.Time { return clock.System().Add(100 * 24 * time.Hour) }
	var running sync.WaitGroup
	made, errs := make([][]string, 4), make([]error, 4)
	for i := range made {
		db, err := database.Open(database.Config{URL: url}, later)
		require.NoError(t, err)
		t.Cleanup(func() { _ = db.Close() })
		running.Go(func() { made[i], errs[i] = db.CreatePartitions(t.Context()) })
	}
	running.Wait()
	seen := map[string]bool{}
	for i, names := range made {
		require.NoError(t, errs[i])
		for _, name := range names {
			require.False(t, seen[name], name)
			seen[name] = true
		}
	}
	require.NotEmpty(t, seen)
	have, err := testkit.Open(t, url).Partitions(t.Context())
	require.NoError(t, err)
	require.Empty(t, database.MissingPartitions(have, later()))
}

func TestARowWithoutAPartitionIsAnOutage(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	insert := func(eventID, status string) error {
		return db.InTx(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO event_states (event_id, status, processing_attempts, received_at, updated_at) VALUES ($1, $2, 0, $3, $3)`, eventID, status, noon)
			return err
		})
	}
	far := id.At(clock.System().Add(60 * 24 * time.Hour))
	require.True(t, fault.Is(insert(far, "pending"), fault.Unavailable), "its partition was not created in time")
	require.False(t, fault.Is(insert(id.New(), "odd"), fault.Unavailable), "a violated constraint is not an outage")
	require.NoError(t, insert(id.At(time.Unix(0, 0)), "pending"), "rows older than all partitions have one")
}

var errUndo = errors.New("undo")

// explain returns the executed plan of a statement over ids, in a transaction that is
// rolled back.
func explain(t *testing.T, db *database.DB, ids []string, query string) string {
	t.Helper()
	var lines []string
	err := db.InTx(t.Context(), func(tx *database.Tx) error {
		list := "'{" + strings.Join(ids, ",") + "}'"
		query := "WITH v (id) AS (SELECT x FROM unnest(CAST(" + list + " AS uuid[])) AS x) " + query
		if err := tx.Select(t.Context(), &lines, "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) "+query); err != nil {
			return err
		}
		return errUndo
	})
	require.ErrorIs(t, err, errUndo)
	return strings.Join(lines, "\n")
}

// A statement by key touches only the partition that holds the key, also if the others were
// analyzed while they were empty.
func TestAKeyIsLookedUpInOnePartition(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	ids := insertStates(t, db, slices.Repeat([]time.Time{noon}, 3000)...)
	fill := `INSERT INTO normalized_events (id, webhook_event_id, integration_id, source, provider, event_type, occurred_at, normalized_payload, correlation_id, received_at, created_at)
		SELECT event_id, event_id, event_id, 's', 'p', 't', updated_at, '', '', updated_at, updated_at FROM event_states`
	exec(t, db, fill)
	exec(t, db, `ANALYZE`)
	for name, query := range map[string]string{
		"a join":    `SELECT e.id, e.normalized_payload FROM normalized_events e JOIN v ON v.id = e.id`,
		"a lock":    `SELECT s.event_id FROM event_states s WHERE s.event_id IN (SELECT id FROM v) ORDER BY s.event_id FOR UPDATE`,
		"an update": `UPDATE event_states SET status = 'failed' FROM v WHERE event_states.event_id = v.id`,
	} {
		t.Run(name, func(t *testing.T) {
			plan := explain(t, db, ids[:3], query)
			touched, spared := 0, 0
			for line := range strings.Lines(plan) {
				if !strings.Contains(line, "Scan using") {
					continue
				}
				require.Contains(t, line, "_pkey", plan)
				if strings.Contains(line, "never executed") {
					spared++
				} else {
					touched++
				}
			}
			require.Equal(t, 1, touched, plan)
			require.Positive(t, spared, plan)
		})
	}
}

func exec(t *testing.T, db *database.DB, query string) {
	t.Helper()
	require.NoError(t, db.InTx(context.Background(), func(tx *database.Tx) error {
		_, err := tx.Exec(context.Background(), query)
		return err
	}))
}
