package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

// destinationRow is a destination with its health.
type destinationRow struct {
	destinationInfo
	Place place
	Stats destinationStats
	State string // active, unsteady, inactive, failing (open) or recovering (half_open)
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
	Errors    recentErrors
	Attempts  []attempt
	Choices   []storedEvent // stored events for a test call
	Tested    *testCall
}

// recentErrors are the failed ones among the last attempts, by error.
type recentErrors struct {
	Errors   []errorGroup `json:"errors"`
	Attempts int          `json:"attempts"`
	Failed   int          `json:"failed"`
}

// errorGroup are the failed attempts with the same error.
type errorGroup struct {
	Message *string    `json:"errorMessage"`
	Count   int        `json:"count"`
	Event   string     `json:"lastEventId"`
	Last    clock.Time `json:"lastAt"`
}

// destinationRows joins the destinations with their figures, and reads more beside that.
func (v *visit) destinationRows(more ...reading) ([]destinationRow, directory, error) {
	var d directory
	var stats figures
	if err := v.together(append(more, v.directoryInto(&d), v.into("/stats", nil, &stats))...); err != nil {
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
			rows = append(rows, rowOf(dest, d.place(dest.ID), by[dest.ID]))
		}
	}
	rank := map[string]int{"open": 0, "half_open": 1, "unsteady": 2, "inactive": 3, "active": 4}
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
	case unsteady(s.Over.Hour):
		row.State = "unsteady"
	}
	return row
}

// unsteady reports whether so many attempts fail that a destination is not well, although it
// answers often enough for its circuit breaker.
func unsteady(of delivered) bool {
	return of.Failures >= 5 && of.Failures*5 > of.Delivered+of.Failures
}

func (m *Module) destinations(v *visit) error {
	rows, _, err := v.destinationRows()
	if err != nil {
		return err
	}
	if name := v.param("name"); name != "" { // an alert names its destination
		if i := slices.IndexFunc(rows, func(r destinationRow) bool { return r.Place.Name == name }); i >= 0 {
			return v.c.Redirect(http.StatusSeeOther, Root+"/destinations/"+rows[i].ID)
		}
	}
	return v.show("destinations", "Destinations", destinationsPage{rows})
}

func (m *Module) destination(v *visit) error { return v.showDestination(nil, nil) }

// showDestination shows a destination, what a test call was answered, and what went wrong.
func (v *visit) showDestination(tested *testCall, wrong error) error {
	destID := v.c.Param("id")
	if !valid(destID) {
		return v.noDestination(directory{})
	}
	p := destinationPage{Span: spanOf(v.param("span")), Spans: spans, Tested: tested}
	of := url.Values{"destinationId": {destID}}
	rows, d, err := v.destinationRows(v.seriesInto(&p.Series, p.Span, url.Values{"destination": {destID}}),
		v.into("/deliveries/errors", of, &p.Errors), v.into("/deliveries", with(of, "pageSize", "20"), &p.Attempts))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(rows, func(r destinationRow) bool { return r.ID == destID })
	if i < 0 {
		return v.noDestination(d)
	}
	p.destinationRow = rows[i]
	p.Delivered = sparkOf("good", p.Series.Points, func(x point) int64 { return x.Delivered })
	p.Failures = sparkOf("bad", p.Series.Points, func(x point) int64 { return x.Failures })
	p.Choices = storedEvents(p.Attempts)
	return v.showWith(http.StatusOK, "destination", p.Place.Name, p, wrong)
}

func (v *visit) noDestination(d directory) error {
	text := "There is no such destination, or your key does not see its source."
	if d.place(v.c.Param("id")).Known {
		text = "This destination was removed with its source."
	}
	return v.showWith(http.StatusNotFound, "error", "Not found", nil, fault.NotFound.New("no_destination", "%s", text))
}
