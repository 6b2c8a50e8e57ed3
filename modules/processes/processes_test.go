package processes

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

// installation is a database and a cache that several processes share.
type installation struct {
	t     *testing.T
	db    *database.DB
	cache cache.Cache
	logs  *testkit.Log

	mu        sync.Mutex
	reclaimed []string
	audited   []string
}

func each(t *testing.T, test func(i *installation)) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		test(&installation{t: t, db: db, cache: cache.NewMemory(0, clock.System), logs: &testkit.Log{}})
	})
}

// Reclaim records that a process was reclaimed.
func (i *installation) Reclaim(_ context.Context, process string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.reclaimed = append(i.reclaimed, process)
	return nil
}

// Record records the actions of the entries.
func (i *installation) Record(_ context.Context, _ *database.Tx, entries []contract.AuditEntry) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, e := range entries {
		i.audited = append(i.audited, e.Action)
	}
	return nil
}

func (i *installation) taken() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string{}, i.reclaimed...)
}

// process returns a registered process that does nothing by itself.
func (i *installation) process(role string) *Module {
	i.t.Helper()
	m := New(Config{Role: role, Version: "v1", Every: 20 * time.Millisecond, DeadAfter: 150 * time.Millisecond},
		Deps{DB: i.db, Log: slog.New(slog.NewTextHandler(i.logs, nil)), Cache: i.cache, Reclaimer: i, Audit: i})
	require.NoError(i.t, m.Register(context.Background()))
	return m
}

// runs starts the process's Run and returns a function that ends it.
func (i *installation) runs(m *Module) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var life sync.WaitGroup
	life.Go(func() { _ = m.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); life.Wait() })
	i.t.Cleanup(stop)
	return stop
}

func (i *installation) rows() map[string]row {
	var list []row
	require.NoError(i.t, i.db.Select(context.Background(), &list, selectRecentSQL, clock.System().Add(-time.Hour)))
	byID := map[string]row{}
	for _, r := range list {
		byID[r.ID] = r
	}
	return byID
}

func (i *installation) exec(query string, args ...any) {
	i.t.Helper()
	require.NoError(i.t, i.db.InTx(context.Background(), func(tx *database.Tx) error {
		_, err := tx.Exec(context.Background(), query, args...)
		return err
	}))
}

func TestADeadProcessIsReclaimed(t *testing.T) {
	each(t, func(i *installation) {
		dead, alive := i.process(RoleWork), i.process(RoleServe)
		i.runs(alive)
		require.Eventually(t, func() bool { return len(i.taken()) > 0 }, time.Minute, 5*time.Millisecond)
		require.Equal(t, []string{dead.Process()}, i.taken())
		require.Eventually(t, func() bool { return i.rows()[dead.Process()].StoppedAt != nil }, time.Minute, 5*time.Millisecond)
		require.NotNil(t, i.rows()[dead.Process()].LostAt)
		require.Nil(t, i.rows()[alive.Process()].LostAt)
	})
}

// The broker hands messages to a host that fell silent until it misses the heartbeats; a
// process that ends in order has closed its connection, and one that only serves has none.
func TestAWorkerThatFellSilentIsRemembered(t *testing.T) {
	each(t, func(i *installation) {
		ended, serves, works, alive := i.process(RoleWork), i.process(RoleServe), i.process(RoleWork), i.process(RoleServe)
		i.runs(ended)()
		declareDead := func(m *Module) {
			require.NoError(t, alive.takeOver(context.Background(), i.rows()[m.Process()]))
			require.NoError(t, alive.beat(context.Background()))
		}
		declareDead(serves)
		require.False(t, alive.Silent())
		declareDead(works)
		require.True(t, alive.Silent())
		i.exec(`UPDATE processes SET lost_at = $1 WHERE lost_at IS NOT NULL`, alive.d.DB.Now().Add(-silentFor))
		require.NoError(t, alive.beat(context.Background()))
		require.False(t, alive.Silent(), "by now the broker has noticed")
	})
}

func TestAProcessThatStopsCleanlyIsNotReclaimed(t *testing.T) {
	each(t, func(i *installation) {
		gone, alive := i.process(RoleWork), i.process(RoleWork)
		i.runs(gone)()
		require.NotNil(t, i.rows()[gone.Process()].StoppedAt)
		require.NoError(t, alive.beat(context.Background()))
		rank, workers := alive.Share()
		require.Equal(t, 0, rank)
		require.Equal(t, 1, workers)
	})
}

func TestAProcessConsideredDeadReregistersUnderANewID(t *testing.T) {
	each(t, func(i *installation) {
		slow := i.process(RoleWork)
		before := slow.Process()
		other := i.process(RoleServe)
		r := i.rows()[before]
		require.NoError(t, other.takeOver(context.Background(), r))
		require.NoError(t, slow.beat(context.Background()))
		require.NotEqual(t, before, slow.Process(), "its former claims were reclaimed")
		require.NoError(t, slow.beat(context.Background()))
		require.Nil(t, i.rows()[slow.Process()].LostAt)
		require.Contains(t, i.logs.String(), "was considered dead")
		require.NotContains(t, i.logs.String(), "the database has lost")
	})
}

func TestAHeartbeatAtTheLastMomentCounts(t *testing.T) {
	each(t, func(i *installation) {
		slow, other := i.process(RoleWork), i.process(RoleServe)
		r := i.rows()[slow.Process()]
		require.NoError(t, slow.beat(context.Background()))
		require.NoError(t, other.takeOver(context.Background(), r))
		require.Empty(t, i.taken())
	})
}

func TestSharesCountTheProcessesThatDeliver(t *testing.T) {
	each(t, func(i *installation) {
		serve, first, second := i.process(RoleServe), i.process(RoleWork), i.process(RoleBoth)
		for _, m := range []*Module{serve, first, second} {
			require.NoError(t, m.beat(context.Background()))
		}
		for want, m := range []*Module{first, second} {
			rank, workers := m.Share()
			require.Equal(t, want, rank)
			require.Equal(t, 2, workers)
		}
	})
}

func TestADatabaseRewindIsDetected(t *testing.T) {
	for _, c := range []struct {
		sentence string
		lose     func(i *installation, m *Module) // removes data from the database
		process  func(i *installation, m *Module) *Module
	}{
		{"by a running process", func(i *installation, m *Module) {
			i.exec(`UPDATE processes SET seen_at = $1, beats = beats - 1`, i.db.Now().Add(-time.Minute))
		}, func(_ *installation, m *Module) *Module { return m }},
		{"by a running process that is not in the backup", func(i *installation, m *Module) {
			i.exec(`DELETE FROM processes`)
		}, func(_ *installation, m *Module) *Module { return m }},
		{"by a process that starts later, through the cache", func(i *installation, m *Module) {
			i.exec(`UPDATE processes SET seen_at = $1, stopped_at = $1`, i.db.Now().Add(-time.Minute))
		}, func(i *installation, _ *Module) *Module { return nil }},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			each(t, func(i *installation) {
				m := i.process(RoleServe)
				require.NoError(t, m.beat(context.Background()))
				require.NotContains(t, i.logs.String(), "the database has lost")
				c.lose(i, m)
				if m = c.process(i, m); m == nil {
					m = i.process(RoleServe)
				}
				require.NoError(t, m.beat(context.Background()))
				require.NoError(t, m.beat(context.Background()))
				var rewinds []string
				require.NoError(t, i.db.Select(context.Background(), &rewinds, `SELECT id FROM database_rewinds WHERE acknowledged_at IS NULL`))
				require.Len(t, rewinds, 1, "once, however many heartbeats follow")
				require.Contains(t, i.audited, "database.rewound")
				done, err := m.Acknowledge(context.Background(), rewinds[0])
				require.NoError(t, err)
				require.True(t, done)
				done, err = m.Acknowledge(context.Background(), rewinds[0])
				require.NoError(t, err)
				require.False(t, done)
			})
		})
	}
}

func TestARestartIsNotARewind(t *testing.T) {
	each(t, func(i *installation) {
		first := i.process(RoleServe)
		i.runs(first)()
		second := i.process(RoleServe)
		require.NoError(t, second.beat(context.Background()))
		require.NotContains(t, i.logs.String(), "the database has lost")
	})
}

func TestReadinessIsAWrite(t *testing.T) {
	each(t, func(i *installation) {
		m := i.process(RoleServe)
		before := i.rows()[m.Process()].Beats
		require.NoError(t, m.Ready(context.Background()))
		require.Greater(t, i.rows()[m.Process()].Beats, before)
	})
}

// A commit whose answer was lost left a row behind, and every retry conflicted with it.
func TestRegisteringTwiceIsRegisteringOnce(t *testing.T) {
	each(t, func(i *installation) {
		m := i.process(RoleServe)
		m.self.SeenAt = clock.Time{} // it does not know that it was registered
		require.NoError(t, m.Register(context.Background()))
		require.Len(t, i.rows(), 1)
		require.NoError(t, m.beat(context.Background()))
		require.NoError(t, m.beat(context.Background()))
		require.NotContains(t, i.logs.String(), "the database has lost")
	})
}

// slowReclaimer takes as long as the test wants.
type slowReclaimer struct{ begun, end chan struct{} }

func (s slowReclaimer) Reclaim(ctx context.Context, _ string) error {
	s.begun <- struct{}{}
	select {
	case <-s.end:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A process that took long to recover a dead process's work wrote no heartbeat meanwhile,
// and was itself considered dead.
func TestRecoveryDoesNotDelayHeartbeats(t *testing.T) {
	each(t, func(i *installation) {
		i.process(RoleWork) // dead
		m := i.process(RoleServe)
		slow := slowReclaimer{make(chan struct{}, 1), make(chan struct{})}
		m.d.Reclaimer = slow
		i.runs(m)
		<-slow.begun
		before := i.rows()[m.Process()].Beats
		require.Eventually(t, func() bool { return i.rows()[m.Process()].Beats > before+3 }, time.Minute, 5*time.Millisecond)
		close(slow.end)
	})
}
