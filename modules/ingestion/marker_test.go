package ingestion

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// After a failover to a standby that lagged, or the restore of a backup, the cache
// remembers events that the database does not have.
func TestAMarkDoesNotOutliveItsEvent(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		memory := cache.NewMemory(0, clock.System)
		g := setup(t, db, func(_ *Config, d *Deps) { d.Cache = memory })
		lost := g.module.commit([]verifiedWebhook{g.webhook("t", "lost"), g.webhook("t", "kept")})
		require.NoError(t, lost[0].Err)
		g.rewind(t, lost[0].Value.EventID)

		results := g.module.commit([]verifiedWebhook{g.webhook("t", "lost"), g.webhook("t", "kept"), g.webhook("t", "new")})
		for _, r := range results {
			require.NoError(t, r.Err)
		}
		require.False(t, results[0].Value.Duplicate, "the database does not have it")
		require.NotEqual(t, lost[0].Value.EventID, results[0].Value.EventID)
		require.True(t, results[1].Value.Duplicate)
		require.Equal(t, lost[1].Value.EventID, results[1].Value.EventID)
		require.False(t, results[2].Value.Duplicate)
	})
}

// rewind takes away what the database has of an event, as a backup from before it would.
func (g *gateway) rewind(t *testing.T, eventID string) {
	t.Helper()
	require.NoError(t, g.db.InTx(t.Context(), func(tx *database.Tx) error {
		for _, statement := range []string{
			`DELETE FROM idempotency_keys WHERE event_id = $1`,
			`DELETE FROM webhook_events WHERE id = (SELECT webhook_event_id FROM normalized_events WHERE id = $1)`,
			`DELETE FROM event_states WHERE event_id = $1`,
			`DELETE FROM normalized_events WHERE id = $1`,
		} {
			if n, err := tx.Exec(context.Background(), statement, eventID); err != nil || n != 1 {
				t.Errorf("%s: %d rows, %v", statement, n, err)
			}
		}
		return nil
	}))
}

func TestADuplicateIsNotAnsweredWithoutTheDatabase(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	require.NoError(t, g.module.commit([]verifiedWebhook{g.webhook("t", "a")})[0].Err)
	again := g.webhook("t", "a")
	require.NoError(t, g.db.Close())
	repeat := g.module.commit([]verifiedWebhook{again})[0]
	require.Error(t, repeat.Err)
	require.False(t, fault.Is(repeat.Err, fault.Invalid), "an outage is ours")
}

func TestAFailedCommitLeavesNoDuplicate(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	g.audit.poison = "venom"
	require.Error(t, g.module.commit([]verifiedWebhook{g.webhook("venom", "b")})[0].Err)
	g.audit.poison = ""
	stored := g.module.commit([]verifiedWebhook{g.webhook("venom", "b")})[0]
	require.NoError(t, stored.Err)
	require.False(t, stored.Value.Duplicate, "a mark decides nothing")
}

func TestADuplicateIsMarkedAgainAfterTheCacheForgotIt(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(_ *Config, d *Deps) { d.Cache = down{} })
	original := g.webhook("t", "a")
	original.correlationID = id.New()
	first := g.module.commit([]verifiedWebhook{original})[0].Value
	g.module.d.Cache = cache.NewMemory(0, g.module.d.Now)
	repeat := g.webhook("t", "a")
	require.Equal(t, first.EventID, g.module.commit([]verifiedWebhook{repeat})[0].Value.EventID)
	at, fresh := g.module.repeats(t.Context(), []verifiedWebhook{repeat})
	require.Equal(t, map[string]keyOwner{"acme:a": {first.EventID, original.correlationID}}, at)
	require.True(t, fresh)
}

func TestKeysAreFreshIfEveryMarkedKeyIsCommitted(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	fresh := func(group ...verifiedWebhook) bool {
		_, fresh := g.module.repeats(t.Context(), group)
		return fresh
	}
	a := g.webhook("t", "a")
	require.True(t, fresh(a, g.webhook("t", "a")), "nobody showed it before this group")
	require.False(t, fresh(a, g.webhook("t", "b")), "somebody may be about to commit a")
	g.module.d.Cache = down{}
	require.False(t, fresh(g.webhook("t", "c")), "nobody knows")
}

// memoryAt is a cache whose time is what now holds.
func memoryAt(now *time.Time) cache.Cache {
	return cache.NewMemory(0, func() time.Time { return *now })
}
