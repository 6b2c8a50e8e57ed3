package ingestion

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

func (g *gateway) store(ids ...string) (eventIDs []string) {
	var group []arrival
	for _, i := range ids {
		group = append(group, g.arrival("t", i))
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
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		ids := g.store("a", "b")
		found, err := g.module.Deliverables(t.Context(), append(ids, id.New()))
		require.NoError(t, err)
		require.ElementsMatch(t, []contract.Deliverable{
			{EventID: ids[0], IntegrationID: g.acme, Source: "acme", Provider: "acme", EventType: "t", CorrelationID: "of-a", Payload: []byte(`{}`), Active: true},
			{EventID: ids[1], IntegrationID: g.acme, Source: "acme", Provider: "acme", EventType: "t", CorrelationID: "of-b", Payload: []byte(`{}`), Active: true},
		}, found)
		g.exec(`UPDATE integrations SET is_active = $1 WHERE id = $2`, false, g.acme)
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
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
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

func TestStatesAreLockedInOrderAndSavedAtOnce(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
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

func TestALockedStateIsNotReadByAnotherUntilItIsFree(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
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

func TestTheIntegrationOfAnEvent(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		ids := g.store("a")
		require.NoError(t, g.inTx(func(ctx context.Context, tx *database.Tx) error {
			integrationID, correlationID, err := g.module.Integration(ctx, tx, ids[0])
			require.Equal(t, g.acme, integrationID)
			require.Equal(t, "of-a", correlationID)
			return err
		}))
		require.True(t, fault.Is(g.inTx(func(ctx context.Context, tx *database.Tx) error {
			_, _, err := g.module.Integration(ctx, tx, id.New())
			return err
		}), fault.NotFound))
	})
}

func TestASourceIsAddedOnceAndNeverOverwritten(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		g := setup(t, db)
		add := func(n NewIntegration) (integrationID string, created bool, err error) {
			err = g.inTx(func(ctx context.Context, tx *database.Tx) (err error) {
				integrationID, created, err = g.module.AddIntegration(ctx, tx, n)
				return err
			})
			return integrationID, created, err
		}
		integrationID, created, err := add(NewIntegration{Source: "acme", Provider: "globex", Name: "other", Secrets: []secret.Value{secret.New("other")}})
		require.NoError(t, err)
		require.False(t, created)
		require.Equal(t, g.acme, integrationID)
		src, err := g.module.loadSource(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, "acme", src.spec.Name)
		require.Len(t, src.secrets, 1)
		require.Equal(t, acmeSecret, src.secrets[0].Value.Reveal())

		var stored []string
		require.NoError(t, db.Select(t.Context(), &stored, `SELECT secret FROM integration_secrets`))
		for _, s := range stored {
			require.NotContains(t, s, "demo-secret", "secrets are sealed at rest")
		}
		n, err := g.module.CountIntegrations(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, n)

		require.Equal(t, 404, g.do(request("late", "{}")).Status)
		_, created, err = add(NewIntegration{Source: "late", Provider: "acme", Name: "Late"})
		require.NoError(t, err)
		require.True(t, created)
		require.Equal(t, 401, g.do(request("late", "{}")).Status, "a new source is known at once; without a secret nothing verifies")

		_, _, err = add(NewIntegration{Source: "Bad Name", Provider: "acme"})
		require.True(t, fault.Is(err, fault.Invalid))
		_, _, err = add(NewIntegration{Source: "x", Provider: "initech"})
		require.True(t, fault.Is(err, fault.Invalid))
	})
}

func TestAnIntegrationWhoseProviderIsUnknownIsOurFault(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)))
	g.exec(`UPDATE integrations SET provider = 'initech' WHERE source = 'acme'`)
	require.Equal(t, 503, g.do(acmeRequest(acmeBody("1"))).Status)
	require.Empty(t, g.audit.take())
}

func TestSourceNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "0": true, "acme-eu_2": true, strings.Repeat("a", 64): true,
		"": false, strings.Repeat("a", 65): false, "-a": false, "_a": false, "Acme": false, "a b": false, "a/b": false, "é": false, "a\x00": false, "a:b": false,
	} {
		require.Equal(t, want, validSource(name), "%q", name)
	}
}

func TestUnknownSourcesAreRememberedInBoundedNumber(t *testing.T) {
	loads := map[string]int{}
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	s := newSources(func(_ context.Context, name string) (*source, error) {
		loads[name]++
		return nil, nil
	}, func() time.Time { return now })
	for i := range 3 * maxSources {
		_, err := s.find(t.Context(), fmt.Sprint(i))
		require.True(t, fault.Is(err, fault.NotFound))
		require.LessOrEqual(t, len(s.entries), maxSources)
	}
	_, err := s.find(t.Context(), fmt.Sprint(3*maxSources-1))
	require.True(t, fault.Is(err, fault.NotFound))
	require.Equal(t, 1, loads[fmt.Sprint(3*maxSources-1)], "a flood of one name asks the database once a second")
	_, err = s.find(t.Context(), "Not A Name")
	require.True(t, fault.Is(err, fault.NotFound))
	require.Zero(t, loads["Not A Name"])
}

func TestALoadThatBeganBeforeAChangeIsNotKept(t *testing.T) {
	loading, release := make(chan struct{}), make(chan struct{})
	loads := 0
	s := newSources(func(context.Context, string) (*source, error) {
		if loads++; loads == 1 {
			close(loading)
			<-release
		}
		return &source{name: fmt.Sprint(loads)}, nil
	}, func() time.Time { return time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC) })
	found := make(chan *source)
	go func() {
		src, _ := s.find(context.Background(), "a")
		found <- src
	}()
	<-loading
	s.invalidate("a")
	close(release)
	require.NotNil(t, <-found)
	src, err := s.find(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, "2", src.name)
}
