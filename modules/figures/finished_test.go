package figures

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

// A series of hours reads again only what may have changed, and each source has its own.
func TestFinishedHoursAreReadOnce(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		now := midday
		count := func(source string, ago time.Duration) {
			m := process(db, &now, nil)
			m.Received(source, "accepted", now.Add(-ago), 0)
			require.NoError(t, m.flush(t.Context()))
			require.NoError(t, m.merge(t.Context()))
		}
		count("acme", 5*time.Hour)
		m := process(db, &now, nil)
		accepted := func(query string) (sum int64) {
			s, problem := get[Series](t, m, "/stats/series?from=2026-03-09T12:00:00Z&to=2026-03-10T13:00:00Z&step=1h"+query)
			require.Empty(t, problem)
			require.Len(t, s.Points, 25)
			for _, p := range s.Points {
				sum += p.Accepted
			}
			return sum
		}
		require.EqualValues(t, 1, accepted(""))
		count("other", 5*time.Hour)
		count("acme", 0)
		require.EqualValues(t, 2, accepted(""), "the hour of now is read, and one that has ended is not")
		require.EqualValues(t, 2, accepted("&source=acme"))
		require.EqualValues(t, 1, accepted("&source=other"))
		now = now.Add(hoursFreshFor)
		require.EqualValues(t, 3, accepted(""))
	})
}

func TestFinishedPointsAreBounded(t *testing.T) {
	var f finished
	points := make([]Point, maxPoints)
	for i := range points {
		points[i].At.Time = midday.Add(time.Duration(i) * time.Hour)
	}
	ended := midday.Add(maxPoints * time.Hour)
	for _, of := range []string{"a", "b", "c", "d", "e"} {
		f.keep(of, time.Hour, points, ended, midday)
		require.LessOrEqual(t, len(f.points), maxFinished)
		require.Len(t, f.first(of, period{from: midday, to: ended, step: time.Hour}, midday), maxPoints)
	}
	f.keep("f", time.Minute, points, ended, midday)
	require.Empty(t, f.first("f", period{from: midday, to: ended, step: time.Minute}, midday), "minutes may still change")
	f.keep("g", time.Hour, points, midday.Add(90*time.Minute), midday)
	require.Len(t, f.first("g", period{from: midday, to: ended, step: time.Hour}, midday), 1, "the second hour has not ended")
}
