package ingestion

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
)

// QuarantineSummary counts a source's requests in quarantine, and the refused requests that
// were dropped.
type QuarantineSummary struct {
	Source   string `json:"source"`
	Requests int64  `json:"requests"`
	Repeats  int64  `json:"repeats"` // of these requests; counted, not stored
	Bytes    int64  `json:"bytes"`   // as stored
	// Dropped counts the requests that were not stored, or were trimmed, within the
	// quarantine's retention.
	Dropped QuarantineDrops `json:"dropped"`
}

// QuarantineDrops counts requests that are not in quarantine.
type QuarantineDrops struct {
	Requests int64            `json:"requests"`
	Bytes    int64            `json:"bytes"`  // of their bodies as received
	Causes   map[string]int64 `json:"causes"` // requests by minute_budget, memory, too_large, source_bound or not_written
	LastHour *clock.Time      `json:"lastHour"`
}

const selectQuarantineSumsSQL = `
SELECT source, count(*) AS requests, CAST(sum(repeats) AS bigint) AS repeats, CAST(sum(stored) AS bigint) AS bytes
FROM   quarantine
WHERE  $1 = '' OR source = $1
GROUP  BY source`

const selectDropsSQL = `
SELECT source, hour, cause, requests, bytes
FROM   quarantine_drops
WHERE  $1 = '' OR source = $1
ORDER  BY source, hour`

// SummarizeQuarantine sums up the quarantine by source, for one source or for all that the
// caller may see.
func (m *Module) SummarizeQuarantine(ctx context.Context, source string) ([]QuarantineSummary, error) {
	var sums []struct {
		Source   string `db:"source"`
		Requests int64  `db:"requests"`
		Repeats  int64  `db:"repeats"`
		Bytes    int64  `db:"bytes"`
	}
	if err := m.d.DB.Select(ctx, &sums, selectQuarantineSumsSQL, source); err != nil {
		return nil, fmt.Errorf("sum up the quarantine: %w", err)
	}
	var drops []struct {
		Source   string     `db:"source"`
		Hour     clock.Time `db:"hour"`
		Cause    string     `db:"cause"`
		Requests int64      `db:"requests"`
		Bytes    int64      `db:"bytes"`
	}
	if err := m.d.DB.Select(ctx, &drops, selectDropsSQL, source); err != nil {
		return nil, fmt.Errorf("sum up dropped requests: %w", err)
	}
	all := map[string]*QuarantineSummary{}
	of := func(source string) *QuarantineSummary {
		if all[source] == nil {
			all[source] = &QuarantineSummary{Source: source, Dropped: QuarantineDrops{Causes: map[string]int64{}}}
		}
		return all[source]
	}
	for _, s := range sums {
		one := of(s.Source)
		one.Requests, one.Repeats, one.Bytes = s.Requests, s.Repeats, s.Bytes
	}
	for _, d := range drops {
		dropped := &of(d.Source).Dropped
		dropped.Requests, dropped.Bytes = dropped.Requests+d.Requests, dropped.Bytes+d.Bytes
		dropped.Causes[d.Cause] += d.Requests
		dropped.LastHour = &d.Hour
	}
	seen := []QuarantineSummary{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if httpapi.SeesSource(ctx, name) {
			seen = append(seen, *all[name])
		}
	}
	return seen, nil
}

func (m *Module) getQuarantineSummary(c echo.Context) error {
	all, err := m.SummarizeQuarantine(c.Request().Context(), httpapi.QueryOf(c).Text("source"))
	if err != nil {
		return err
	}
	return httpapi.All(c, all)
}
