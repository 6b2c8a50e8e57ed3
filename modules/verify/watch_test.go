package verify

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

func watcher(db *database.DB, now *time.Time) *Module {
	return New(Config{Grace: 10 * time.Second, Batch: 2, Every: 24 * time.Hour, Share: .9}, Deps{DB: db, Now: func() time.Time { return *now }})
}

// lastCheck returns the stored result, nil if there is none.
func lastCheck(t *testing.T, db *database.DB) *contract.CheckSummary {
	t.Helper()
	var results []string
	require.NoError(t, db.Select(t.Context(), &results, "SELECT result FROM consistency_checks WHERE result <> ''"))
	if len(results) == 0 {
		return nil
	}
	var s contract.CheckSummary
	require.NoError(t, json.Unmarshal([]byte(results[0]), &s))
	return &s
}

// TestTheCheckRunsByItself: once a day, by one of two processes, and tells what it found.
func TestTheCheckRunsByItself(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := newFixture(t, db)
		now := clock.System()
		start := now
		a, b := watcher(db, &now), watcher(db, &now)
		require.NoError(t, a.watchOnce(t.Context()))
		require.True(t, lastCheck(t, db).Holds)
		require.Empty(t, lastCheck(t, db).Found)

		f.exec(`UPDATE event_states SET status = 'processed' WHERE event_id = $1`, f.given)
		now = start.Add(23 * time.Hour)
		require.NoError(t, b.watchOnce(t.Context()))
		require.True(t, lastCheck(t, db).Holds, "not yet due")
		now = start.Add(24 * time.Hour)
		require.NoError(t, b.watchOnce(t.Context()))
		last := lastCheck(t, db)
		require.False(t, last.Holds)
		require.Equal(t, 1, last.Problems)
		require.Equal(t, map[string]int{string(contract.DamageStatus): 1}, last.Found)

		now = start.Add(-48 * time.Hour) // the clock was set back
		require.NoError(t, a.watchOnce(t.Context()))
		require.NotEqual(t, last.FinishedAt, lastCheck(t, db).FinishedAt)
	})
}

// TestACheckOfADeadProcessIsBegunAnew: after its claim has expired, and by one process.
func TestACheckOfADeadProcessIsBegunAnew(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		newFixture(t, db)
		now := clock.System()
		dead, next := watcher(db, &now), watcher(db, &now)
		n, err := dead.exec(t.Context(), claimSQL, dead.process, now, now.Add(dead.cfg.Every), now.Add(-claimFor))
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		now = now.Add(claimFor - time.Second)
		require.NoError(t, next.watchOnce(t.Context()))
		require.Nil(t, lastCheck(t, db), "it may still be at work")
		now = now.Add(time.Second)
		require.NoError(t, next.watchOnce(t.Context()))
		require.NotNil(t, lastCheck(t, db))

		require.ErrorIs(t, dead.finish(t.Context(), now, newChecker(dead).report()), errClaimLost, "it was only slow")
	})
}

// TestACheckOfAProcessThatStopsIsFree: another process need not wait for its claim to expire.
func TestACheckOfAProcessThatStopsIsFree(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		newFixture(t, db)
		now := clock.System()
		ctx, cancel := context.WithCancel(t.Context())
		stopping := watcher(db, &now)
		_, err := stopping.exec(ctx, claimSQL, stopping.process, now.Add(-claimFor), now, now.Add(-2*claimFor))
		require.NoError(t, err)
		stopping.d.Now = func() time.Time { // it claims, and then is stopped
			defer cancel()
			return now
		}
		require.Error(t, stopping.watchOnce(ctx))
		require.Nil(t, lastCheck(t, db))
		require.NoError(t, watcher(db, &now).watchOnce(t.Context()))
		require.NotNil(t, lastCheck(t, db))
	})
}
