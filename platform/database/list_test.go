package database_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type state struct {
	ID      string     `db:"event_id"`
	Status  string     `db:"status"`
	Error   *string    `db:"last_error"`
	Updated clock.Time `db:"updated_at"`
}

// states are sorted by id, or by sort.
func states(desc bool, sort ...string) database.Listing[state] {
	return database.Listing[state]{
		Columns: "event_id, status, last_error, updated_at", From: "event_states", ID: "event_id", Sort: sort, Desc: desc,
		Key: func(s state) database.Position {
			if len(sort) == 0 {
				return database.Position{ID: s.ID}
			}
			return database.Position{Value: database.TimeValue(s.Updated.Time), ID: s.ID}
		},
	}
}

// insertStates writes a row for each moment, and returns their ids in order.
func insertStates(t *testing.T, db *database.DB, moments ...time.Time) []string {
	t.Helper()
	rows := database.NewRows("event_id uuid", "status text", "processing_attempts bigint", "received_at timestamptz", "updated_at timestamptz")
	var ids []string
	for _, at := range moments {
		ids = append(ids, id.New())
		rows.Add(ids[len(ids)-1], "pending", 0, at, at)
	}
	require.NoError(t, db.InTx(context.Background(), func(tx *database.Tx) error {
		return tx.Insert(context.Background(), "event_states", rows)
	}))
	return ids
}

func idsOf(items []state) []string {
	ids := []string{}
	for _, s := range items {
		ids = append(ids, s.ID)
	}
	return ids
}

func TestPagesAndCursorsShowEveryRowOnceInBothDirections(t *testing.T) {
	// Equal times, times that differ by a microsecond, whole seconds and fractions: cases
	// where text and times could sort differently.
	moments := []time.Time{
		noon, noon, noon, noon.Add(time.Microsecond), noon.Add(500 * time.Millisecond), noon.Add(510 * time.Millisecond),
		noon.Add(time.Second), noon.Add(-time.Microsecond), noon.Add(-time.Second), noon, noon.Add(10 * time.Second), noon.AddDate(-100, 0, 0),
	}
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		ids := insertStates(t, db, moments...)
		byTime := make([]int, len(moments))
		for i := range byTime {
			byTime[i] = i
		}
		slices.SortStableFunc(byTime, func(a, b int) int { return moments[a].Compare(moments[b]) })
		for _, sort := range [][]string{{"updated_at"}, nil} {
			for _, desc := range []bool{false, true} {
				want := slices.Clone(ids)
				if sort != nil {
					for i, n := range byTime {
						want[i] = ids[n]
					}
				}
				if desc {
					slices.Reverse(want)
				}
				for _, size := range []int{1, 2, 5, 11, 12, 13} {
					t.Run(fmt.Sprintf("by %s, descending %v, %d a page", sort, desc, size), func(t *testing.T) {
						l := states(desc, sort...)
						require.Equal(t, want, walkCursors(t, db, l, size, len(want)))
						require.Equal(t, want, walkPages(t, db, l, size, len(want)))
					})
				}
			}
		}
	})
}

func walkCursors(t *testing.T, db *database.DB, l database.Listing[state], size, total int) []string {
	t.Helper()
	ids := []string{}
	page := database.Page{Number: 1, Size: size}
	for {
		list, err := database.ReadList(context.Background(), db, l, &database.Filter{}, page)
		require.NoError(t, err)
		require.Equal(t, total, list.Total, "the total is that of the whole list, on every page")
		require.LessOrEqual(t, len(list.Items), size)
		ids = append(ids, idsOf(list.Items)...)
		if list.Next == nil {
			return ids
		}
		page.After = list.Next
	}
}

func walkPages(t *testing.T, db *database.DB, l database.Listing[state], size, total int) []string {
	t.Helper()
	ids := []string{}
	for number := 1; ; number++ {
		list, err := database.ReadList(context.Background(), db, l, &database.Filter{}, database.Page{Number: number, Size: size})
		require.NoError(t, err)
		require.Equal(t, len(ids)+len(list.Items) < total, list.Next != nil)
		ids = append(ids, idsOf(list.Items)...)
		if len(list.Items) < size {
			return ids
		}
	}
}

func TestAFilterAppliesToTheTotalAndEveryPage(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		ids := insertStates(t, db, noon, noon, noon, noon, noon)
		require.NoError(t, db.InTx(context.Background(), func(tx *database.Tx) error {
			_, err := tx.Exec(context.Background(), `UPDATE event_states SET status = 'failed' WHERE event_id IN ($1, $2, $3)`, ids[0], ids[2], ids[4])
			return err
		}))
		var f database.Filter
		f.Add("status = ?", "failed")
		l := states(false, "updated_at")
		first, err := database.ReadList(context.Background(), db, l, &f, database.Page{Number: 1, Size: 2})
		require.NoError(t, err)
		require.Equal(t, []string{ids[0], ids[2]}, idsOf(first.Items))
		require.Equal(t, 3, first.Total)
		second, err := database.ReadList(context.Background(), db, l, &f, database.Page{Size: 2, After: first.Next})
		require.NoError(t, err)
		require.Equal(t, []string{ids[4]}, idsOf(second.Items))
		require.Equal(t, 3, second.Total)
		require.Nil(t, second.Next)
	})
}

func TestAnEmptyListIsNotNil(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		list, err := database.ReadList(context.Background(), db, states(true, "updated_at"), &database.Filter{}, database.Page{Number: 3, Size: 20})
		require.NoError(t, err)
		require.NotNil(t, list.Items)
		require.Empty(t, list.Items)
		require.Zero(t, list.Total)
		require.Nil(t, list.Next)
	})
}

func TestAListWithoutAKeyHasNoCursors(t *testing.T) {
	db := testkit.Open(t, testkit.SQLite(t))
	insertStates(t, db, noon, noon)
	l := states(false, "status")
	l.Key = nil
	list, err := database.ReadList(context.Background(), db, l, &database.Filter{}, database.Page{Number: 1, Size: 1})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	require.Nil(t, list.Next)
}

func TestTextIsFoundLiterallyAnywhere(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		ctx := context.Background()
		texts := []string{`100% done`, `1000 done`, `a_b`, `aXb`, `C:\dir`, `C:dir`, `C:\\dir`, `ABC`}
		ids := insertStates(t, db, make([]time.Time, len(texts))...)
		require.NoError(t, db.InTx(ctx, func(tx *database.Tx) error {
			for i, text := range texts {
				if _, err := tx.Exec(ctx, `UPDATE event_states SET last_error = $1 WHERE event_id = $2`, text, ids[i]); err != nil {
					return err
				}
			}
			return nil
		}))
		for _, test := range []struct {
			name, text string
			want       []string
		}{
			{"a percent sign is no wildcard", "0%", []string{`100% done`}},
			{"an underscore is no wildcard", "a_b", []string{`a_b`}},
			{"a backslash is itself", `:\d`, []string{`C:\dir`}},
			{"two match two", `\\`, []string{`C:\\dir`}},
			{"one matches one and two", `\`, []string{`C:\dir`, `C:\\dir`}},
			{"case does not matter", "abc", []string{`ABC`}},
			{"the middle is found", "00 d", []string{`1000 done`}},
			{"the empty text matches all", "", texts},
			{"a missing text is not found", "zzz", []string{}},
		} {
			t.Run(test.name, func(t *testing.T) {
				var f database.Filter
				f.Add("last_error "+db.Dialect.Like+` ? ESCAPE '\'`, database.Contains(test.text))
				list, err := database.ReadList(ctx, db, states(false), &f, database.Page{Number: 1, Size: 100})
				require.NoError(t, err)
				found := []string{}
				for _, s := range list.Items {
					found = append(found, *s.Error)
				}
				require.Equal(t, test.want, found)
			})
		}
	})
}
