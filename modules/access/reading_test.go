package access

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/testkit"
)

// slowSources responds immediately until hangs is set. Then each call sends a channel to asked
// and blocks until the test closes that channel.
type slowSources struct {
	hangs atomic.Bool
	asked chan chan struct{}
	calls atomic.Int64 // completed calls
}

func (s *slowSources) IntegrationsOf(ctx context.Context, _ []string) (map[string]string, error) {
	if s.hangs.Load() {
		proceed := make(chan struct{})
		s.asked <- proceed
		select {
		case <-proceed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	s.calls.Add(1)
	return map[string]string{"orders": "id of orders"}, nil
}

type noTrail struct{}

func (noTrail) Record(context.Context, *database.Tx, []contract.AuditEntry) error { return nil }

// slow returns a module with a key that is restricted to sources, whose lookup hangs.
func slow(t *testing.T, db *database.DB) (m *Module, s *slowSources, k Key, text string) {
	t.Helper()
	s = &slowSources{asked: make(chan chan struct{})}
	at := clock.System() // a fixed time
	m = New(Config{}, Deps{DB: db, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return at }, Audit: noTrail{}, Sources: s})
	k, value, err := m.Create(operator(), NewKey{Name: "support", Role: "viewer", Sources: []string{"orders"}})
	require.NoError(t, err)
	s.hangs.Store(true)
	return m, s, k, value.Reveal()
}

// If a mutex is held while the keys are read, callers that arrive meanwhile cannot be cancelled,
// and a committed revocation waits for the read.
func TestAHangingReadBlocksNobody(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		m, s, k, text := slow(t, db)
		first := make(chan error, 1)
		go func() {
			_, err := m.Authenticate(context.Background(), text)
			first <- err
		}()
		proceed := <-s.asked

		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := m.Authenticate(cancelled, text)
		require.ErrorIs(t, err, context.Canceled, "a cancelled caller does not wait")
		require.True(t, fault.Is(err, fault.Unavailable))

		began := time.Now()
		_, err = m.Revoke(operator(), k.ID)
		require.NoError(t, err)
		require.Less(t, time.Since(began), queryTimeout, "a revocation does not wait")
		s.hangs.Store(false)
		_, err = m.Authenticate(t.Context(), text)
		require.Equal(t, httpapi.Refuse("wrong_key"), err, "a caller after the revocation does not get the older read")

		close(proceed)
		require.NoError(t, <-first, "a caller from before the revocation gets the older result")
		_, err = m.Authenticate(t.Context(), text)
		require.Equal(t, httpapi.Refuse("wrong_key"), err, "nobody else gets it")
	})
}

func TestConcurrentRequestsReadOnce(t *testing.T) {
	m, s, _, text := slow(t, testkit.Open(t, testkit.SQLite(t)))
	const concurrent = 20
	ended := make(chan error, concurrent)
	ask := func() {
		_, err := m.Authenticate(context.Background(), text)
		ended <- err
	}
	go ask()
	proceed := <-s.asked
	s.hangs.Store(false)
	for range concurrent - 1 {
		go ask()
	}
	close(proceed)
	for range concurrent {
		require.NoError(t, <-ended)
	}
	require.EqualValues(t, 1, s.calls.Load())
}
