package ingestion

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

func (g *gateway) store(ids ...string) (eventIDs []string) {
	var group []verifiedWebhook
	for _, i := range ids {
		group = append(group, g.webhook("t", i))
	}
	for _, r := range g.module.commit(group) {
		require.NoError(g.t, r.Err)
		eventIDs = append(eventIDs, r.Value.EventID)
	}
	return eventIDs
}

func (g *gateway) inTx(fn func(ctx context.Context, tx *database.Tx) error) error {
	return g.db.InTx(g.t.Context(), func(tx *database.Tx) error { return fn(g.t.Context(), tx) })
}

func TestDeliverables(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		ids := g.store("a", "b")
		found, err := g.module.Deliverables(t.Context(), append(ids, id.New()))
		require.NoError(t, err)
		require.ElementsMatch(t, []contract.Deliverable{
			{EventID: ids[0], IntegrationID: g.acme, Source: "acme", Provider: "acme", EventType: "t", CorrelationID: "of-a", Payload: []byte(`{}`), Active: true, IdempotencyKey: hash([]byte("acme:a"))},
			{EventID: ids[1], IntegrationID: g.acme, Source: "acme", Provider: "acme", EventType: "t", CorrelationID: "of-b", Payload: []byte(`{}`), Active: true, IdempotencyKey: hash([]byte("acme:b"))},
		}, found)
		g.sources.change(g.acme, func(s *settings) { s.IsActive = false })
		found, err = g.module.Deliverables(t.Context(), ids[:1])
		require.NoError(t, err)
		require.Len(t, found, 1, "it is known, for destinations that finish what they have")
		require.False(t, found[0].Active)
		found, err = g.module.Deliverables(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, found)
	})
}

func TestOriginals(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		body := acmeBody("e1")
		eventID := g.do(acmeRequest(body)).receipt(t).EventID
		found, err := g.module.Originals(t.Context(), []string{eventID, id.New()})
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.Equal(t, eventID, found[0].EventID)
		require.Equal(t, body, string(found[0].Body))
		require.Contains(t, string(found[0].Headers), `"x-acme-signature":["`+sign(body)+`"]`, "a signature is no credential and is kept")
		found, err = g.module.Originals(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, found)
	})
}

func TestStatesAreLockedInOrderAndSavedTogether(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		ids := g.store("a", "b", "c")
		at, message := time.Date(2026, 2, 1, 0, 0, 0, 1000, time.UTC), "HTTP 500"
		var saved []contract.EventState
		require.NoError(t, g.inTx(func(ctx context.Context, tx *database.Tx) error {
			backwards := slices.Clone(ids)
			slices.Reverse(backwards)
			states, err := g.module.LockStates(ctx, tx, append(backwards, id.New()))
			require.NoError(t, err)
			require.Len(t, states, 3)
			for i, s := range states {
				require.Equal(t, ids[i], s.EventID)
				require.Equal(t, contract.EventPending, s.Status)
				require.Nil(t, s.LastError)
				require.Nil(t, s.LastProcessedAt)
			}
			states[0].Status, states[0].ProcessingAttempts, states[0].LastError, states[0].UpdatedAt = contract.EventRetrying, 3, &message, at
			states[2].Status, states[2].LastProcessedAt, states[2].UpdatedAt = contract.EventProcessed, &at, at
			saved = states
			return g.module.SaveStates(ctx, tx, []contract.EventState{states[2], states[0]})
		}))
		require.NoError(t, g.inTx(func(ctx context.Context, tx *database.Tx) error {
			states, err := g.module.LockStates(ctx, tx, ids)
			require.Equal(t, saved, states)
			return err
		}))
		require.NoError(t, g.inTx(func(ctx context.Context, tx *database.Tx) error {
			states, err := g.module.LockStates(ctx, tx, nil)
			require.Empty(t, states)
			require.NoError(t, err)
			return g.module.SaveStates(ctx, tx, nil)
		}))
	})
}

func TestALockedStateBlocksOtherLocks(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		ids := g.store("a")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				_ = g.inTx(func(ctx context.Context, tx *database.Tx) error {
					states, err := g.module.LockStates(ctx, tx, ids)
					if err != nil {
						return err
					}
					states[0].ProcessingAttempts++
					return g.module.SaveStates(ctx, tx, states)
				})
			})
		}
		all.Wait()
		status, err := g.module.status(t.Context(), ids[0])
		require.NoError(t, err)
		require.Equal(t, 8, status.ProcessingAttempts, "no update is lost")
	})
}

// Whoever must not wait gets the states that are free.
func TestFreeStatesAreLockedWithoutWaiting(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.Postgres(t)))
	ids := g.store("a", "b", "c")
	require.NoError(t, g.inTx(func(ctx context.Context, held *database.Tx) error {
		if _, err := g.module.LockStates(ctx, held, ids[1:2]); err != nil {
			return err
		}
		return g.inTx(func(ctx context.Context, tx *database.Tx) error {
			states, err := g.module.LockFreeStates(ctx, tx, ids)
			require.NoError(t, err)
			require.Len(t, states, 2)
			require.Equal(t, []string{ids[0], ids[2]}, []string{states[0].EventID, states[1].EventID})
			return nil
		})
	}))
}

func TestTheIntegrationOfAnEvent(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		ids := g.store("a")
		require.NoError(t, g.inTx(func(ctx context.Context, tx *database.Tx) error {
			integrationID, err := g.module.Integration(ctx, tx, ids[0])
			require.Equal(t, g.acme, integrationID)
			return err
		}))
		require.True(t, fault.Is(g.inTx(func(ctx context.Context, tx *database.Tx) error {
			_, err := g.module.Integration(ctx, tx, id.New())
			return err
		}), fault.NotFound))
	})
}

func TestAnUnknownProviderIsAnInternalError(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	g.sources.change("acme", func(s *settings) { s.Provider = "initech" })
	require.Equal(t, 503, g.do(acmeRequest(acmeBody("1"))).Status)
	require.Empty(t, g.audit.take())
}
