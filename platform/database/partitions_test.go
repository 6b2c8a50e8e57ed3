package database

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/id"
)

func TestPartitionsAreCreatedInAdvance(t *testing.T) {
	table := Partitioned{Table: "events", Key: "id", Width: week}
	at := func(day string) time.Time {
		moment, err := time.Parse(time.DateOnly, day)
		require.NoError(t, err)
		return moment
	}
	for _, c := range []struct {
		name      string
		last, now time.Time
		want      []string
	}{
		{"initially one for older rows, one for this week, and three more weeks", time.Time{}, at("2026-11-25"),
			[]string{"older – 2026-11-23", "2026-11-23 – 2026-11-30", "2026-11-30 – 2026-12-07", "2026-12-07 – 2026-12-14", "2026-12-14 – 2026-12-21"}},
		{"a week begins on Monday", time.Time{}, at("2026-11-23"),
			[]string{"older – 2026-11-23", "2026-11-23 – 2026-11-30", "2026-11-30 – 2026-12-07", "2026-12-07 – 2026-12-14", "2026-12-14 – 2026-12-21"}},
		{"and ends with Sunday", at("2026-12-14"), at("2026-11-23").Add(-time.Millisecond), nil},
		{"nothing is missing", at("2026-12-21"), at("2026-11-29"), nil},
		{"three weeks before the end of the last one the next is created", at("2026-12-21"), at("2026-11-30"), []string{"2026-12-21 – 2026-12-28"}},
		{"weeks in which nothing ran are one partition", at("2026-10-05"), at("2026-11-25"),
			[]string{"2026-10-05 – 2026-11-23", "2026-11-23 – 2026-11-30", "2026-11-30 – 2026-12-07", "2026-12-07 – 2026-12-14", "2026-12-14 – 2026-12-21"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, p := range table.missing(c.last, c.now) {
				from, day := "older", "older"
				if p.From != "" {
					from = id.Time(p.From).Format(time.DateOnly)
					day = id.Time(p.From).Format("p20060102")
				}
				require.Equal(t, "events_"+day, p.Name)
				got = append(got, from+" – "+id.Time(p.To).Format(time.DateOnly))
			}
			require.Equal(t, c.want, got)
		})
	}
}
