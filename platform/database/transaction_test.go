package database_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

const bumpSQL = `UPDATE event_states SET processing_attempts = processing_attempts + 1 WHERE event_id = $1`

func attemptsOf(t *testing.T, db *database.DB, event string) int {
	t.Helper()
	var n int
	require.NoError(t, db.Get(context.Background(), &n, `SELECT processing_attempts FROM event_states WHERE event_id = $1`, event))
	return n
}

func TestADeadlocksVictimIsRetried(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	ctx := context.Background()
	ids := insertStates(t, db, noon, noon)
	hasFirst := []chan struct{}{make(chan struct{}), make(chan struct{})}
	runs, ended := make(chan int, 20), make(chan error, 2)
	for me, order := range [][]string{{ids[0], ids[1]}, {ids[1], ids[0]}} {
		go func() {
			run, announced := 0, 0
			err := db.InTx(ctx, func(tx *database.Tx) error {
				run++
				tx.AfterCommit(func() { announced++ })
				if _, err := tx.Exec(ctx, bumpSQL, order[0]); err != nil {
					return fmt.Errorf("first: %w", err)
				}
				if run == 1 {
					close(hasFirst[me])
				}
				<-hasFirst[1-me]
				_, err := tx.Exec(ctx, bumpSQL, order[1])
				return err
			})
			if err == nil && announced != 1 {
				err = fmt.Errorf("announced %d times", announced)
			}
			runs <- run
			ended <- err
		}()
	}
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
	require.GreaterOrEqual(t, <-runs+<-runs, 3, "one of the two ran at least twice; it may have lost more than once")
	require.Equal(t, []int{2, 2}, []int{attemptsOf(t, db, ids[0]), attemptsOf(t, db, ids[1])})
}

func TestATransactionThatAlwaysConflictsGivesUp(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	runs := 0
	err := db.InTx(context.Background(), func(tx *database.Tx) error {
		runs++
		_, err := tx.Exec(context.Background(), `DO $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = 'serialization_failure'; END $$`)
		return err
	})
	require.True(t, fault.Is(err, fault.Unavailable), "%v", err)
	require.Equal(t, 4, runs)
}

func TestACancelledTransactionReturnsItsContextsError(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		ctx, leave := context.WithCancel(context.Background())
		err := db.InTx(ctx, func(tx *database.Tx) error {
			if _, err := tx.Exec(ctx, `UPDATE api_keys SET name = name`); err != nil {
				return err
			}
			leave()
			for {
				if _, err := tx.Exec(context.Background(), `UPDATE api_keys SET name = name`); errors.Is(err, sql.ErrTxDone) {
					return nil
				}
			}
		})
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestOtherErrorsAreNotRetried(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		for _, failure := range []error{errors.New("ours"), fault.Invalid.New("theirs", "theirs"), sql.ErrNoRows} {
			runs := 0
			err := db.InTx(context.Background(), func(*database.Tx) error {
				runs++
				return failure
			})
			require.Equal(t, failure, err, "an error from elsewhere is returned unchanged")
			require.Equal(t, 1, runs)
		}
		err := db.Get(context.Background(), new(int), `SELECT nonsense FROM nowhere`)
		require.True(t, fault.Is(err, fault.Internal), "%v", err)
		require.Equal(t, sql.ErrNoRows, db.Get(context.Background(), new(string), `SELECT event_id FROM event_states`))
	})
}

func TestAPanicLeavesNoTransactionBehind(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		ids := insertStates(t, db, noon)
		require.Panics(t, func() {
			_ = db.InTx(context.Background(), func(tx *database.Tx) error {
				if _, err := tx.Exec(context.Background(), bumpSQL, ids[0]); err != nil {
					return err
				}
				panic("a bug")
			})
		})
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		require.NoError(t, db.InTx(ctx, func(tx *database.Tx) error {
			_, err := tx.Exec(ctx, bumpSQL, ids[0])
			return err
		}))
		require.Equal(t, 1, attemptsOf(t, db, ids[0]))
	})
}

func TestConcurrentWritersLoseNothing(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		const writers, writes = 8, 25
		ids := insertStates(t, db, noon)
		ended := make(chan error)
		for range writers {
			go func() {
				for range writes {
					if err := readAndWrite(db, ids[0]); err != nil {
						ended <- err
						return
					}
				}
				ended <- nil
			}()
		}
		for range writers {
			require.NoError(t, <-ended)
		}
		require.Equal(t, writers*writes, attemptsOf(t, db, ids[0]))
	})
}

// readAndWrite loses a concurrent write unless the row is locked when it is read.
func readAndWrite(db *database.DB, event string) error {
	ctx := context.Background()
	return db.InTx(ctx, func(tx *database.Tx) error {
		var n int
		if err := tx.Get(ctx, &n, `SELECT processing_attempts FROM event_states WHERE event_id = $1`+tx.Dialect.ForUpdate, event); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE event_states SET processing_attempts = $1 WHERE event_id = $2`, n+1, event)
		return err
	})
}

func TestAReaderDoesNotWaitForAWriter(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		ids := insertStates(t, db, noon)
		require.NoError(t, db.InTx(ctx, func(tx *database.Tx) error {
			if _, err := tx.Exec(ctx, bumpSQL, ids[0]); err != nil {
				return err
			}
			require.Equal(t, 0, attemptsOf(t, db, ids[0]), "nor does it see uncommitted changes")
			return nil
		}))
		require.Equal(t, 1, attemptsOf(t, db, ids[0]))
	})
}

func TestAnotherProcessCanWriteToTheSameSQLiteFile(t *testing.T) {
	u := testkit.SQLite(t)
	pools := []*database.DB{testkit.Open(t, u), testkit.Open(t, u)}
	ids := insertStates(t, pools[0], noon)
	ended := make(chan error)
	for _, db := range pools {
		go func() {
			for range 50 {
				if err := readAndWrite(db, ids[0]); err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
	}
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
	require.Equal(t, 100, attemptsOf(t, pools[1], ids[0]))
}

func TestReadsCannotWriteOnSQLite(t *testing.T) {
	db := testkit.Open(t, testkit.SQLite(t))
	var ids []string
	require.Error(t, db.Select(context.Background(), &ids, `DELETE FROM installation RETURNING id`))
}

func TestIsUniqueRecognisesUniqueConstraints(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		event, destination := id.New(), id.New()
		attempt := func(no int, status string) error {
			return db.InTx(context.Background(), func(tx *database.Tx) error {
				rows := database.NewRows("id uuid", "normalized_event_id uuid", "destination_id uuid", "job_id uuid",
					"attempt_no bigint", "status text", "duration_ms bigint", "created_at timestamptz")
				rows.Add(id.New(), event, destination, event, no, status, 1, clock.System())
				return tx.Insert(context.Background(), "delivery_attempts", rows)
			})
		}
		source := func() error {
			return db.InTx(context.Background(), func(tx *database.Tx) error {
				rows := database.NewRows("id uuid", "source text", "provider text", "name text", "is_active boolean", "created_at timestamptz", "updated_at timestamptz")
				rows.Add(id.New(), "acme", "acme", "Acme", true, noon, noon)
				return tx.Insert(context.Background(), "integrations", rows)
			})
		}
		require.NoError(t, attempt(1, "success"))
		require.NoError(t, source())
		require.False(t, db.Dialect.IsUnique(nil))
		require.True(t, db.Dialect.IsUnique(attempt(1, "success")), "the primary key exists")
		require.True(t, db.Dialect.IsUnique(source()), "the source exists")
		check := attempt(2, "splendid")
		require.Error(t, check)
		require.False(t, db.Dialect.IsUnique(check), "another constraint")
		require.False(t, db.Dialect.IsUnique(errors.New("UNIQUE constraint failed")), "a text alone proves nothing")
		require.NoError(t, attempt(2, "failed"))
	})
}

func TestMoreRowsThanFitOneStatementAreInsertedTogether(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		insertStates(t, db, make([]time.Time, 9_000)...)
		var n int
		require.NoError(t, db.Get(context.Background(), &n, `SELECT count(*) FROM event_states`))
		require.Equal(t, 9_000, n)
	})
}
