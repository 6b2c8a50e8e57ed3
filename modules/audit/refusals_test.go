package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

type written struct {
	Source string `json:"source"`
	Reason string `json:"reason"`
	Minute string `json:"minute"`
	Count  int    `json:"count"`
}

func newModule(db *database.DB, now clock.Now, cfg Config) *Module {
	return New(cfg, Deps{DB: db, Log: slog.New(slog.DiscardHandler), Now: now})
}

// rowsOf returns the details of all refusals in the database, oldest first.
func rowsOf(t *testing.T, db *database.DB) []written {
	t.Helper()
	var entries []entry
	require.NoError(t, db.Select(context.Background(), &entries,
		`SELECT id, entity_type, entity_id, action, actor, details, created_at FROM audit_entries ORDER BY id`))
	rows := []written{}
	for _, e := range entries {
		require.Nil(t, e.EntityID)
		require.Equal(t, contract.ActorGateway, e.Actor)
		var w written
		require.NoError(t, json.Unmarshal([]byte(e.Details), &w))
		rows = append(rows, w)
	}
	return rows
}

func TestAFloodOfRefusalsWritesTwoRows(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		ctx := context.Background()
		now := noon.Add(10 * time.Second)
		m := newModule(db, func() time.Time { return now }, Config{})
		for range 1_000_000 {
			m.Refused(refusal("acme"))
		}
		require.NoError(t, m.flush(ctx, false))
		require.NoError(t, m.flush(ctx, false))
		now = noon.Add(2 * time.Minute)
		require.NoError(t, m.flush(ctx, false))
		require.NoError(t, m.flush(ctx, true))
		require.Equal(t, []written{
			{"acme", "bad_signature", "2026-03-01T12:00:00Z", 1},
			{"acme", "bad_signature", "2026-03-01T12:00:00Z", 999_999},
		}, rowsOf(t, db))
	})
}

func TestMoreKeysThanFitOneTransactionAreAllWritten(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		m := newModule(db, func() time.Time { return noon }, Config{})
		for i := range maxKeysPerMinute {
			m.Refused(refusal(fmt.Sprintf("source-%d", i)))
		}
		require.NoError(t, m.flush(context.Background(), false))
		require.Len(t, rowsOf(t, db), maxKeysPerMinute)
	})
}

func TestRunWritesTheFirstRefusalImmediatelyAndTheRestAtShutdown(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		m := newModule(db, func() time.Time { return noon }, Config{FlushEvery: time.Millisecond})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		for range 10 {
			m.Refused(refusal("acme"))
		}
		require.Eventually(t, func() bool { return len(rowsOf(t, db)) > 0 }, time.Minute, time.Millisecond)
		m.Refused(refusal("acme"))
		cancel()
		require.NoError(t, <-ended)
		rows := rowsOf(t, db)
		require.Len(t, rows, 2)
		require.Equal(t, 1, rows[0].Count)
		require.Equal(t, 10, rows[1].Count)
	})
}

func TestRefusalsSurviveADatabaseOutage(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		ctx := context.Background()
		now := noon
		m := newModule(db, func() time.Time { return now }, Config{})
		rename := func(from, to string) {
			require.NoError(t, db.InTx(ctx, func(tx *database.Tx) error {
				_, err := tx.Exec(ctx, "ALTER TABLE "+from+" RENAME TO "+to)
				return err
			}))
		}
		rename("audit_entries", "out_of_reach")
		for range 3 {
			m.Refused(refusal("acme"))
		}
		require.Error(t, m.flush(ctx, false))
		now = noon.Add(time.Hour)
		m.Refused(refusal("acme"))
		require.ErrorContains(t, m.lastFlush(ctx), "4 refused requests were not audited")
		rename("out_of_reach", "audit_entries")
		require.NoError(t, m.flush(ctx, false))
		rows := rowsOf(t, db)
		require.Len(t, rows, 2)
		require.Equal(t, []int{3, 1}, []int{rows[0].Count, rows[1].Count})
	})
}

func TestRefusedIsSafeForConcurrentUse(t *testing.T) {
	db := testkit.Open(t, testkit.SQLite(t))
	m := newModule(db, clock.System, Config{FlushEvery: time.Millisecond})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for i := range 500 {
				m.Refused(refusal(fmt.Sprintf("source-%d", (caller+i)%5)))
			}
		})
	}
	callers.Wait()
	cancel()
	require.NoError(t, <-ended)
	total := 0
	for _, w := range rowsOf(t, db) {
		total += w.Count
	}
	require.Equal(t, 8*500, total)
}

func TestASourceThatIsNotUTF8IsStillAudited(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		m := newModule(db, func() time.Time { return noon }, Config{})
		m.Refused(refusal("a\x00b\xff\""))
		require.NoError(t, m.flush(context.Background(), false))
		require.Equal(t, "a\x00b\uFFFD\"", rowsOf(t, db)[0].Source)
	})
}
