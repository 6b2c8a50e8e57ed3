package database_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

func stateOf(ids ...string) *database.Rows {
	rows := database.NewRows("event_id uuid", "status text", "processing_attempts bigint", "received_at timestamptz", "updated_at timestamptz")
	for _, id := range ids {
		rows.Add(id, "pending", 0, noon, noon)
	}
	return rows
}

func keyOf(keys ...string) *database.Rows {
	rows := database.NewRows("idempotency_key text", "event_id uuid")
	for _, key := range keys {
		rows.Add(key, id.New())
	}
	return rows
}

func countOf(t *testing.T, db *database.DB, table string) (n int) {
	t.Helper()
	require.NoError(t, db.Get(context.Background(), &n, `SELECT count(*) FROM `+table))
	return n
}

// The transaction is atomic, whether deferred statements are written alone, with the commit
// or before another statement, for the first time or prepared.
func TestDeferredStatementsAreWrittenAtomically(t *testing.T) {
	ctx := context.Background()
	before := map[string]func(tx *database.Tx) error{
		"alone":            func(*database.Tx) error { return nil },
		"in a begun one":   func(tx *database.Tx) error { return tx.Get(ctx, new(int), `SELECT 1`) },
		"after other rows": func(tx *database.Tx) error { return tx.Insert(ctx, "event_states", stateOf(id.New())) },
	}
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		for name, first := range before {
			t.Run(name, func(t *testing.T) {
				states, keys := countOf(t, db, "event_states"), countOf(t, db, "idempotency_keys")
				store := func(key string) error {
					return db.InTx(ctx, func(tx *database.Tx) error {
						return errors.Join(first(tx), tx.Insert(ctx, "event_states", stateOf(id.New())), tx.Insert(ctx, "idempotency_keys", keyOf(key)))
					})
				}
				for _, key := range []string{name + "1", name + "2", name + "3"} {
					require.NoError(t, store(key))
					require.True(t, db.Dialect.IsUnique(store(key)), "the key exists")
				}
				require.Equal(t, keys+3, countOf(t, db, "idempotency_keys"))
				added := countOf(t, db, "event_states") - states
				require.Zero(t, added%3, "failed transactions left no row in either table")
				require.Contains(t, []int{3, 6}, added)
			})
		}
	})
}

func TestAStatementSeesTheDeferredOnesBeforeIt(t *testing.T) {
	ctx := context.Background()
	const bumpRowsSQL = `UPDATE event_states SET processing_attempts = processing_attempts + 1 FROM v WHERE event_states.event_id = v.id`
	statements := map[string]func(tx *database.Tx, event string) (n int, err error){
		"get": func(tx *database.Tx, event string) (n int, err error) {
			return n, tx.Get(ctx, &n, `SELECT count(*) FROM event_states WHERE event_id = $1`, event)
		},
		"select": func(tx *database.Tx, event string) (int, error) {
			var list []string
			err := tx.Select(ctx, &list, `SELECT event_id FROM event_states WHERE event_id = $1`, event)
			return len(list), err
		},
		"exec": func(tx *database.Tx, event string) (int, error) {
			n, err := tx.Exec(ctx, bumpSQL, event)
			return int(n), err
		},
		"select rows": func(tx *database.Tx, event string) (int, error) {
			var list []string
			err := tx.SelectRows(ctx, &list, database.IDs([]string{event}), `SELECT event_id FROM event_states JOIN v ON v.id = event_id`)
			return len(list), err
		},
		"exec rows": func(tx *database.Tx, event string) (int, error) {
			n, err := tx.ExecRows(ctx, database.IDs([]string{event}), bumpRowsSQL)
			return int(n), err
		},
		"write": func(tx *database.Tx, event string) (n int, err error) {
			if err := tx.Write(ctx, database.IDs([]string{event}), bumpRowsSQL); err != nil {
				return 0, err
			}
			return n, tx.Get(ctx, &n, `SELECT processing_attempts FROM event_states WHERE event_id = $1`, event)
		},
	}
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		for name, count := range statements {
			t.Run(name, func(t *testing.T) {
				event, n := id.New(), 0
				require.NoError(t, db.InTx(ctx, func(tx *database.Tx) (err error) {
					if err := tx.Insert(ctx, "event_states", stateOf(event)); err != nil {
						return err
					}
					n, err = count(tx, event)
					return err
				}))
				require.Equal(t, 1, n)
			})
		}
	})
}

func TestDeferredStatementsAreDroppedIfTheTransactionFails(t *testing.T) {
	ctx := context.Background()
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		ours := errors.New("ours")
		require.Equal(t, ours, db.InTx(ctx, func(tx *database.Tx) error {
			tx.AfterCommit(func() { t.Error("there was no commit") })
			require.NoError(t, tx.Insert(ctx, "event_states", stateOf(id.New())))
			return ours
		}))
		require.Zero(t, countOf(t, db, "event_states"))
	})
}

// A single deferred write waits for locks like any other statement, and a lock timeout is
// an outage.
func TestASingleDeferredStatementIsATransaction(t *testing.T) {
	ctx := context.Background()
	u := testkit.Postgres(t)
	holder, hasty := testkit.Open(t, u), openWith(t, database.Config{URL: u, LockTimeout: 1e7})
	require.NoError(t, holder.InTx(ctx, func(tx *database.Tx) error {
		if err := tx.Insert(ctx, "idempotency_keys", keyOf("k")); err != nil {
			return err
		}
		if err := tx.Get(ctx, new(int), `SELECT 1`); err != nil {
			return err
		}
		err := hasty.InTx(ctx, func(other *database.Tx) error { return other.Insert(ctx, "idempotency_keys", keyOf("k")) })
		require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
		return nil
	}))
	left, leave := context.WithCancel(ctx)
	leave()
	err := holder.InTx(left, func(tx *database.Tx) error { return tx.Insert(left, "idempotency_keys", keyOf("l")) })
	require.ErrorIs(t, err, context.Canceled)
}

// Deferred writes run before another statement. Their failure must not be reported as that
// statement's.
func TestAFailedWriteNamesItsOwnTable(t *testing.T) {
	ctx := context.Background()
	statement := func(do func(tx *database.Tx) error) func(*database.Tx) error {
		return func(tx *database.Tx) error {
			if err := do(tx); err != nil {
				return fmt.Errorf("look at the installation: %w", err)
			}
			return nil
		}
	}
	next := map[string]func(*database.Tx) error{
		"the commit": func(*database.Tx) error { return nil },
		"get":        statement(func(tx *database.Tx) error { return tx.Get(ctx, new(string), `SELECT id FROM installation`) }),
		"exec": statement(func(tx *database.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE installation SET id = id`)
			return err
		}),
		"write": statement(func(tx *database.Tx) error {
			return tx.Write(ctx, database.IDs([]string{id.New()}), `UPDATE event_states SET status = status FROM v WHERE event_id = v.id`)
		}),
	}
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		event := id.New()
		store := func(first, then func(*database.Tx) error) error {
			return db.InTx(ctx, func(tx *database.Tx) error {
				if err := first(tx); err != nil {
					return err
				}
				if err := tx.Insert(ctx, "event_states", stateOf(event)); err != nil {
					return err
				}
				return then(tx)
			})
		}
		nothing := func(*database.Tx) error { return nil }
		others := func(tx *database.Tx) error { return tx.Insert(ctx, "idempotency_keys", keyOf(id.New())) }
		require.NoError(t, store(nothing, nothing))
		for name, then := range next {
			for before, first := range map[string]func(*database.Tx) error{"alone": nothing, "with another table's": others} {
				t.Run(name+", "+before, func(t *testing.T) {
					err := store(first, then)
					require.True(t, db.Dialect.IsUnique(err), "%v", err)
					require.Regexp(t, `^write event_states: `, err.Error())
					require.NotContains(t, err.Error(), "installation")
				})
			}
		}
		t.Run("what the transaction makes of it stays", func(t *testing.T) {
			ours := errors.New("ours")
			require.Equal(t, ours, db.InTx(ctx, func(tx *database.Tx) error {
				refused := errors.Join(tx.Insert(ctx, "event_states", stateOf(event)), tx.Get(ctx, new(string), `SELECT id FROM installation`))
				require.True(t, db.Dialect.IsUnique(refused))
				return ours
			}))
		})
	})
}
