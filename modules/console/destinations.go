package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"

	"integration-gateway/platform/fault"
)

// destinationRow is a destination with its health.
type destinationRow struct {
	destinationInfo
	Place place
	Stats destinationStats
	State string // active, inactive, failing (open) or recovering (half_open)
}

type destinationsPage struct {
	Rows []destinationRow
}

type destinationPage struct {
	destinationRow
	Series    series
	Span      span
	Spans     []span
	Delivered spark
	Failures  spark
	Errors    []errorGroup
	Attempts  []attempt
	Choices   []storedEvent // stored events for a test call
	Tested    *testCall
}

// errorGroup are the recent failed attempts with the same error.
type errorGroup struct {
	Text  string
	Count int
	Last  attempt
}

// rows joins the destinations with their figures.
func (v *visit) destinationRows() ([]destinationRow, directory, error) {
	d, err := v.directory()
	if err != nil {
		return nil, d, err
	}
	var stats figures
	if _, err := v.get("/stats", nil, &stats); err != nil {
		return nil, d, err
	}
	by := map[string]destinationStats{}
	for _, s := range stats.Destinations {
		by[s.ID] = s
	}
	var rows []destinationRow
	for _, in := range d.Integrations {
		if in.ArchivedAt != nil {
			continue
		}
		for _, dest := range in.Destinations {
			rows = append(rows, rowOf(dest, d.Place(dest.ID), by[dest.ID]))
		}
	}
	rank := map[string]int{"open": 0, "half_open": 1, "inactive": 2, "active": 3}
	slices.SortStableFunc(rows, func(a, b destinationRow) int {
		return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), cmp.Compare(a.Place.Name, b.Place.Name))
	})
	return rows, d, nil
}

func rowOf(info destinationInfo, p place, s destinationStats) destinationRow {
	row := destinationRow{destinationInfo: info, Place: p, Stats: s, State: "active"}
	switch {
	case !info.Active:
		row.State = "inactive"
	case info.Breaker != "" && info.Breaker != "closed":
		row.State = info.Breaker
	}
	return row
}

func (m *Module) destinations(v *visit) error {
	rows, _, err := v.destinationRows()
	if err != nil {
		return err
	}
	return v.show("destinations", "Destinations", destinationsPage{rows})
}

func (m *Module) destination(v *visit) error { return v.showDestination(nil, nil) }

// showDestination shows a destination, what a test call was answered, and what went wrong.
func (v *visit) showDestination(tested *testCall, wrong error) error {
	destID := v.c.Param("id")
	rows, d, err := v.destinationRows()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(rows, func(r destinationRow) bool { return r.ID == destID })
	if i < 0 {
		text := "There is no such destination, or your key does not see its source."
		if d.Place(destID).Known {
			text = "This destination was removed with its source."
		}
		return v.showWith(http.StatusNotFound, "error", "Not found", nil, fault.NotFound.New("no_destination", "%s", text))
	}
	p := destinationPage{destinationRow: rows[i], Span: spanOf(v.param("span")), Spans: spans, Tested: tested}
	if p.Series, err = v.series(p.Span, url.Values{"destination": {destID}}); err != nil {
		return err
	}
	p.Delivered = sparkOf("good", p.Series.Points, func(x point) int64 { return x.Delivered })
	p.Failures = sparkOf("bad", p.Series.Points, func(x point) int64 { return x.Failures })
	var failed []attempt
	if _, err := v.get("/deliveries", url.Values{"destinationId": {destID}, "status": {"failed"}, "pageSize": {"100"}}, &failed); err != nil {
		return err
	}
	p.Errors = groupErrors(failed)
	if _, err := v.get("/deliveries", url.Values{"destinationId": {destID}, "pageSize": {"20"}}, &p.Attempts); err != nil {
		return err
	}
	p.Choices = storedEvents(p.Attempts)
	return v.showWith(http.StatusOK, "destination", p.Place.Name, p, wrong)
}

func groupErrors(failed []attempt) []errorGroup {
	var groups []errorGroup
	for _, a := range failed {
		text := "unknown"
		if a.Error != nil {
			text = *a.Error
		}
		i := slices.IndexFunc(groups, func(g errorGroup) bool { return g.Text == text })
		if i < 0 {
			i = len(groups)
			groups = append(groups, errorGroup{Text: text, Last: a})
		}
		groups[i].Count++
	}
	slices.SortStableFunc(groups, func(a, b errorGroup) int { return cmp.Compare(b.Count, a.Count) })
	return groups
}
