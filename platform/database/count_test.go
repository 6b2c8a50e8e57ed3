package database_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

func TestTotalsAreExactUpToALimit(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		read := func(all bool, filter ...string) database.List[state] {
			var f database.Filter
			for _, status := range filter {
				f.Add("status = ?", status)
			}
			l := states(true)
			l.CountAll = all
			list, err := database.ReadList(t.Context(), db, l, &f, database.Page{Number: 1, Size: 1})
			require.NoError(t, err)
			return list
		}
		insertStates(t, db, slices.Repeat([]time.Time{noon}, database.CountedAtMost)...)
		list := read(false)
		require.Equal(t, database.CountedAtMost, list.Total)
		require.False(t, list.Estimated)

		insertStates(t, db, slices.Repeat([]time.Time{noon}, 5000)...)
		exec(t, db, `ANALYZE`)
		list = read(false)
		require.True(t, list.Estimated)
		require.InEpsilon(t, 15_000, list.Total, 0.1)
		list = read(false, "pending")
		require.True(t, list.Estimated, "a filter that matches too many")
		require.Greater(t, list.Total, database.CountedAtMost)
		list = read(false, "failed")
		require.False(t, list.Estimated, "a filter that matches few")
		require.Zero(t, list.Total)
		list = read(true)
		require.Equal(t, 15_000, list.Total, "a list with CountAll")
		require.False(t, list.Estimated)
	})
}
