package ingestion

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
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

// drops sums up what was dropped, by source: of one, or of all.
func (m *Module) drops(ctx context.Context, source string) (map[string]QuarantineDrops, error) {
	var rows []struct {
		Source   string     `db:"source"`
		Hour     clock.Time `db:"hour"`
		Cause    string     `db:"cause"`
		Requests int64      `db:"requests"`
		Bytes    int64      `db:"bytes"`
	}
	if err := m.d.DB.Select(ctx, &rows, selectDropsSQL, source); err != nil {
		return nil, fmt.Errorf("sum up dropped requests: %w", err)
	}
	all := map[string]QuarantineDrops{}
	for _, r := range rows {
		dropped := all[r.Source]
		if dropped.Causes == nil {
			dropped.Causes = map[string]int64{}
		}
		dropped.Requests, dropped.Bytes, dropped.LastHour = dropped.Requests+r.Requests, dropped.Bytes+r.Bytes, &r.Hour
		dropped.Causes[r.Cause] += r.Requests
		all[r.Source] = dropped
	}
	return all, nil
}

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
	drops, err := m.drops(ctx, source)
	if err != nil {
		return nil, err
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
	for name, dropped := range drops {
		of(name).Dropped = dropped
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

// QuarantineGroups are the newest requests in quarantine by source and reason.
type QuarantineGroups struct {
	Groups  []QuarantineGroup  `json:"groups"`  // the largest first, 100 at most
	Grouped int                `json:"grouped"` // requests in all groups: the newest that match, 10,000 at most
	More    bool               `json:"more"`    // 10,000 were grouped, so that there may be older ones
	Dropped []QuarantineDropOf `json:"dropped"` // what was refused and not kept
}

// QuarantineGroup are those of one source and reason.
type QuarantineGroup struct {
	Source     string        `json:"source"`
	Reason     string        `json:"reason"`
	Count      int           `json:"count"`
	Repeats    int64         `json:"repeats"`    // of these requests
	Releasable int           `json:"releasable"` // of these, those whose body was kept
	First      clock.Time    `json:"first"`      // the oldest's receivedAt
	Last       clock.Time    `json:"last"`
	Newest     []Quarantined `json:"newest"` // at least one, and 5 at most
}

// QuarantineDropOf is what was dropped of a source's requests.
type QuarantineDropOf struct {
	Source string `json:"source"`
	QuarantineDrops
}

// quarantineGroupCount is a group as it was counted.
type quarantineGroupCount struct {
	database.GroupCount
	Source     string `db:"source"`
	Reason     string `db:"reason"`
	Repeats    int64  `db:"repeats"`
	Releasable int    `db:"releasable"`
}

var quarantineGrouping = database.Grouping[quarantineGroupCount, Quarantined, [2]string]{
	Table: "quarantine", Columns: quarantineColumns, By: "source, reason", Of: ", repeats, redacted",
	Sums:  ", CAST(sum(repeats) AS bigint) AS repeats, count(*) FILTER (WHERE NOT redacted) AS releasable",
	KeyOf: func(c quarantineGroupCount) [2]string { return [2]string{c.Source, c.Reason} },
	Row:   func(q Quarantined) ([2]string, string) { return [2]string{q.Source, q.Reason}, q.ID },
}

// GroupQuarantine groups the newest requests in quarantine that match f and that the caller may
// see.
func (m *Module) GroupQuarantine(ctx context.Context, f QuarantineFilter) (QuarantineGroups, error) {
	read, err := quarantineGrouping.Read(ctx, m.d.DB, f.within(ctx))
	all := QuarantineGroups{Groups: []QuarantineGroup{}, Grouped: read.Grouped, More: read.More, Dropped: []QuarantineDropOf{}}
	if err != nil {
		return all, err
	}
	for _, g := range read.List {
		all.Groups = append(all.Groups, QuarantineGroup{Source: g.Count.Source, Reason: g.Count.Reason, Count: g.Count.InGroup, Repeats: g.Count.Repeats,
			Releasable: g.Count.Releasable, First: g.First.ReceivedAt, Last: g.Newest[0].ReceivedAt, Newest: g.Newest})
	}
	drops, err := m.drops(ctx, f.Source)
	for _, name := range slices.Sorted(maps.Keys(drops)) {
		if httpapi.SeesSource(ctx, name) {
			all.Dropped = append(all.Dropped, QuarantineDropOf{name, drops[name]})
		}
	}
	return all, err
}

func (m *Module) getQuarantineGroups(c echo.Context) error {
	groups, err := m.GroupQuarantine(c.Request().Context(), quarantineFilterOf(httpapi.QueryOf(c)))
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, groups)
}
