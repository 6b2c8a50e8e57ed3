package database_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/testkit"
)

const closedURL = "postgres://gateway@127.0.0.1:1/gateway?sslmode=disable"

func openWith(t *testing.T, cfg database.Config) *database.DB {
	t.Helper()
	db, err := database.Open(cfg, clock.System)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// within returns the result of call, and fails the test if it takes longer than limit.
func within(t *testing.T, limit time.Duration, call func() error) error {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- call() }()
	select {
	case err := <-ended:
		return err
	case <-time.After(limit):
		require.FailNow(t, "no answer in time", "after %s", limit)
		return nil
	}
}

// everyCall returns all ways to use the database.
func everyCall(ctx context.Context, db *database.DB) map[string]func() error {
	return map[string]func() error{
		"ping":   func() error { return db.Ping(ctx) },
		"get":    func() error { return db.Get(ctx, new(int), `SELECT 1`) },
		"select": func() error { return db.Select(ctx, &[]int{}, `SELECT 1`) },
		"in tx":  func() error { return db.InTx(ctx, begin(ctx)) },
		"list": func() error {
			_, err := database.ReadList(ctx, db, states(true), &database.Filter{}, database.Page{Number: 1, Size: 1})
			return err
		},
	}
}

func TestAClosedPortIsAnImmediateOutage(t *testing.T) {
	db := openWith(t, database.Config{URL: closedURL})
	for name, call := range everyCall(context.Background(), db) {
		err := within(t, 2*time.Second, call)
		require.True(t, fault.Is(err, fault.Unavailable), "%s: %v", name, err)
		require.Positive(t, fault.As(err).RetryAfter)
	}
}

// hungServer accepts connections, reads, and never answers.
func hungServer(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var accepted []net.Conn
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted = append(accepted, conn)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
		for _, conn := range accepted {
			_ = conn.Close()
		}
	})
	return "postgres://gateway@" + listener.Addr().String() + "/gateway?sslmode=disable"
}

func TestAHangingServerIsAnOutageByTheCallersDeadline(t *testing.T) {
	db := openWith(t, database.Config{URL: hungServer(t)})
	for name := range everyCall(context.Background(), db) {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		err := within(t, 2*time.Second, everyCall(ctx, db)[name])
		cancel()
		require.True(t, fault.Is(err, fault.Unavailable), "%s: %v", name, err)
	}
}

func TestAHangingServerIsAnOutageWithoutACallersDeadline(t *testing.T) {
	db := openWith(t, database.Config{URL: hungServer(t) + "&connect_timeout=1"})
	err := within(t, 4*time.Second, func() error { return db.Ping(context.Background()) })
	require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
}

func TestAHangingConnectionIsAnOutageByTheCallersDeadline(t *testing.T) {
	proxy := testkit.NewProxy(t, testkit.Postgres(t))
	db := openWith(t, database.Config{URL: proxy.URL()})
	for name := range everyCall(context.Background(), db) {
		require.NoError(t, everyCall(context.Background(), db)[name]())
		proxy.Hang()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		err := within(t, 3*time.Second, everyCall(ctx, db)[name])
		cancel()
		require.True(t, fault.Is(err, fault.Unavailable), "%s: %v", name, err)
		proxy.Resume()
		require.NoError(t, everyCall(context.Background(), db)[name](), "%s: the pool recovers", name)
	}
}

func TestAResetConnectionIsAnOutageAndThePoolRecovers(t *testing.T) {
	proxy := testkit.NewProxy(t, testkit.Postgres(t))
	db := openWith(t, database.Config{URL: proxy.URL()})
	for name, call := range everyCall(context.Background(), db) {
		require.NoError(t, call())
		proxy.Cut()
		err := within(t, 3*time.Second, call)
		require.True(t, fault.Is(err, fault.Unavailable), "%s: %v", name, err)
		proxy.Resume()
		require.NoError(t, call(), "%s: the pool recovers", name)
	}
}

func TestAnEndlessStatementIsCancelled(t *testing.T) {
	db := openWith(t, database.Config{URL: testkit.Postgres(t), StatementTimeout: 50 * time.Millisecond})
	err := within(t, 2*time.Second, func() error { return db.Get(context.Background(), new(string), `SELECT pg_sleep(60)::text`) })
	require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
	require.NoError(t, db.Ping(context.Background()))
}

func TestACallersDeadlineCancelsAStatement(t *testing.T) {
	db := openWith(t, database.Config{URL: testkit.Postgres(t)})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err := within(t, 2*time.Second, func() error { return db.Get(ctx, new(string), `SELECT pg_sleep(60)::text`) })
	require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
	require.NoError(t, db.Ping(context.Background()))
}

func TestALockTimeoutIsAnOutage(t *testing.T) {
	db := openWith(t, database.Config{URL: testkit.Postgres(t), LockTimeout: 50 * time.Millisecond})
	ctx := context.Background()
	ids := insertStates(t, db, noon)
	require.NoError(t, db.InTx(ctx, func(holder *database.Tx) error {
		if _, err := holder.Exec(ctx, bumpSQL, ids[0]); err != nil {
			return err
		}
		err := within(t, 2*time.Second, func() error { return readAndWrite(db, ids[0]) })
		require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
		return nil
	}))
	require.NoError(t, readAndWrite(db, ids[0]))
}

const terminateSQL = `SELECT pg_terminate_backend($1, 5000)`

func TestATerminatedConnectionLosesTheTransactionAndThePoolRecovers(t *testing.T) {
	u := testkit.Postgres(t)
	db, other := testkit.Open(t, u), testkit.Open(t, u)
	ctx := context.Background()
	ids := insertStates(t, db, noon)
	for name, afterwards := range map[string]func(tx *database.Tx) error{
		"before a statement": func(tx *database.Tx) error {
			_, err := tx.Exec(ctx, bumpSQL, ids[0])
			return err
		},
		"before the commit": func(*database.Tx) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			err := db.InTx(ctx, func(tx *database.Tx) error {
				if _, err := tx.Exec(ctx, bumpSQL, ids[0]); err != nil {
					return err
				}
				var pid int
				if err := tx.Get(ctx, &pid, `SELECT pg_backend_pid()`); err != nil {
					return err
				}
				require.NoError(t, other.Get(ctx, new(bool), terminateSQL, pid))
				return afterwards(tx)
			})
			require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
			require.NoError(t, db.Ping(ctx))
			require.Zero(t, attemptsOf(t, db, ids[0]))
		})
	}
}

func TestARestartedServerIsUsedAgain(t *testing.T) {
	u := testkit.Postgres(t)
	db, other := testkit.Open(t, u), testkit.Open(t, u)
	ctx := context.Background()
	const idle = 5
	together, ended := make(chan struct{}), make(chan error)
	for range idle { // so many connections are idle in the pool
		go func() {
			ended <- db.InTx(ctx, func(tx *database.Tx) error { err := begin(ctx)(tx); <-together; return err })
		}()
	}
	pids := []int{}
	require.Eventually(t, func() bool {
		return other.Select(ctx, &pids, `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`) == nil && len(pids) == idle
	}, 10*time.Second, time.Millisecond)
	close(together)
	for range idle {
		require.NoError(t, <-ended)
	}
	for _, pid := range pids {
		require.NoError(t, other.Get(ctx, new(bool), terminateSQL, pid))
	}
	failures := 0
	for err := db.Ping(ctx); err != nil; err = db.Ping(ctx) {
		require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
		failures++
		require.LessOrEqual(t, failures, idle, "each dead connection costs one call at most")
	}
	t.Logf("%d of %d dead connections caused a failed call", failures, idle)
}

func TestADatabaseThatAcceptsNoConnectionsIsAnOutage(t *testing.T) {
	admin := testkit.Server(t, "TEST_DATABASE_URL")
	u := testkit.Postgres(t)
	parsed, err := url.Parse(u)
	require.NoError(t, err)
	ctx := context.Background()
	allow := func(yes bool) {
		require.NoError(t, testkit.Open(t, admin).InTx(ctx, func(tx *database.Tx) error {
			_, err := tx.Exec(ctx, fmt.Sprintf(`ALTER DATABASE %q ALLOW_CONNECTIONS %t`, parsed.Path[1:], yes))
			return err
		}))
	}
	db := testkit.Open(t, u)
	allow(false) // as during a restore
	for name, call := range everyCall(ctx, openWith(t, database.Config{URL: u})) {
		err := call()
		require.True(t, fault.Is(err, fault.Unavailable), "%s: %v", name, err)
	}
	allow(true)
	require.NoError(t, db.Ping(ctx))
}

func TestStartWaitsForTheDatabaseUntilItsContextEnds(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithTimeout(context.Background(), 250*time.Millisecond)
	defer cancel()
	err := within(t, 3*time.Second, func() error { return openWith(t, database.Config{URL: closedURL}).WaitReady(ctx, log) })
	require.ErrorContains(t, err, "never answered")
	require.True(t, fault.Is(err, fault.Unavailable))
	require.NoError(t, testkit.Open(t, testkit.SQLite(t)).WaitReady(context.Background(), log))
}

func TestAnInvalidURLIsRefusedWithoutShowingItsPassword(t *testing.T) {
	for _, u := range []string{"", "mysql://a:hunter2@b/c", "postgres://a:hunter2@b:port/c", "postgres://a:hunter2@b/c?sslmode=perhaps", "sqlite://"} {
		_, err := database.Open(database.Config{URL: u}, clock.System)
		require.Error(t, err, u)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestHostsAreTriedInOrder(t *testing.T) {
	u, err := url.Parse(testkit.Server(t, testkit.PostgresVariable))
	require.NoError(t, err)
	one := u.Host
	for _, list := range []string{"127.0.0.1:1," + one, one + ",127.0.0.1:1"} { // libpq's form
		u.Host = list
		require.NoError(t, openWith(t, database.Config{URL: u.String()}).Ping(context.Background()))
	}
	query := u.Query()
	u.Host = one
	query.Set("port", "1,"+u.Port())
	u.Host, u.RawQuery = "127.0.0.1,"+u.Hostname(), query.Encode()
	require.NoError(t, openWith(t, database.Config{URL: u.String()}).Ping(context.Background()))
}

// begin is a transaction with one statement that waits for nothing.
func begin(ctx context.Context) func(*database.Tx) error {
	return func(tx *database.Tx) error { return tx.Get(ctx, new(int), `SELECT 1`) }
}
