package gauges

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// destinationsAtMost bounds the destinations that are shown, those with an open breaker
// first.
const destinationsAtMost = 1000

const selectDestinationsSQL = `
SELECT d.id, i.source, COALESCE(d.state, 'closed') AS state, d.until, d.is_active, d.paused_until, d.archived_at IS NOT NULL AS removed,
       i.is_active AND i.archived_at IS NULL AS source_active,
       (SELECT count(*) FROM destinations o WHERE o.integration_id = d.integration_id AND o.id <= d.id) AS number
FROM   (SELECT t.id, t.integration_id, t.is_active, t.paused_until, t.archived_at, b.state, b.until
        FROM   destinations t
        LEFT   JOIN destination_breakers b ON b.destination_id = t.id
        WHERE  t.archived_at IS NULL OR EXISTS (SELECT 1 FROM processing_jobs j WHERE j.parked AND j.destination_id = t.id)
        ORDER  BY CASE WHEN b.state IS NULL THEN 1 ELSE 0 END, t.id
        LIMIT  $1) AS d
JOIN   integrations i ON i.id = d.integration_id`

type destinationRow struct {
	ID           string      `db:"id"`
	Source       string      `db:"source"`
	State        string      `db:"state"`
	Until        *clock.Time `db:"until"`
	IsActive     bool        `db:"is_active"`
	PausedUntil  *clock.Time `db:"paused_until"`
	Removed      bool        `db:"removed"`
	SourceActive bool        `db:"source_active"`
	Number       int         `db:"number"`
}

// parkedReason says why the destination's jobs are parked, if some are.
func (r destinationRow) parkedReason() string {
	switch {
	case !r.SourceActive:
		return "source_inactive"
	case r.Removed:
		return "removed"
	case !r.IsActive:
		return "destination_inactive"
	case r.State != "closed":
		return "breaker_open"
	}
	return "resuming"
}

// breakerStates are the gauge's values.
var breakerStates = map[string]int{"closed": 0, "half_open": 1, "open": 2}

func (m *Module) readDestinations(ctx context.Context, g *contract.Gauges) error {
	var rows []destinationRow
	if err := m.d.DB.SelectApart(ctx, &rows, selectDestinationsSQL, destinationsAtMost); err != nil {
		return err
	}
	g.Breakers, g.Destinations = map[string]int{}, make([]contract.DestinationGauges, len(rows))
	for i, r := range rows {
		name := r.Source + "/" + strconv.Itoa(r.Number)
		if !r.Removed {
			g.Breakers[name] = breakerStates[r.State]
		}
		g.Destinations[i] = contract.DestinationGauges{ID: r.ID, Name: name, Source: r.Source, Breaker: r.State, ParkedReason: r.parkedReason(),
			Paused: !r.IsActive && !r.Removed}
		if r.PausedUntil != nil {
			g.Destinations[i].PausedUntil = &r.PausedUntil.Time
		}
		if r.Until != nil {
			g.Destinations[i].BreakerUntil = &r.Until.Time
		}
	}
	return nil
}

const countParkedSQL = `
SELECT destination_id, count(*) AS n
FROM   (SELECT destination_id FROM processing_jobs WHERE parked LIMIT $1) AS counted
GROUP  BY destination_id`

// countLiveSQL bounds the rows that it reads, whatever share of them is due or running.
const countLiveSQL = `
SELECT destination_id, CASE WHEN status = 'running' THEN 'running' WHEN scheduled_at > $2 THEN 'scheduled' ELSE 'due' END AS of_kind,
       count(*) AS n, min(CASE WHEN scheduled_at IS NULL THEN created_at ELSE scheduled_at END) AS oldest
FROM   (SELECT destination_id, status, scheduled_at, created_at FROM processing_jobs WHERE completed_at IS NULL AND NOT parked LIMIT $1) AS counted
GROUP  BY 1, 2`

// ofDestination is a number of rows of one destination, nil for those that have none.
type ofDestination struct {
	ID     *string `db:"destination_id"`
	Of     string  `db:"of_kind"`
	N      int64   `db:"n"`
	Oldest moment  `db:"oldest"`
}

// moment is a time that SQLite, in an aggregate, returns as text.
type moment struct{ time.Time }

// Scan reads a time of either engine.
func (t *moment) Scan(src any) error {
	text, is := src.(string)
	if !is {
		var at clock.Time
		err := at.Scan(src)
		t.Time = at.Time
		return err
	}
	for _, layout := range []string{"2006-01-02 15:04:05.999999999-07:00", time.RFC3339Nano} {
		if at, err := time.Parse(layout, text); err == nil {
			t.Time = at
			return nil
		}
	}
	return fmt.Errorf("cannot read a time from %q", text)
}

// Value writes a time.
func (t moment) Value() (driver.Value, error) { return t.Time, nil }

func (m *Module) countJobs(ctx context.Context, g *contract.Gauges) error {
	g.Jobs = map[string]int64{"due": 0, "scheduled": 0, "running": 0, "parked": 0}
	of := destinationsByID(g)
	var parked, live []ofDestination
	if err := m.d.DB.SelectApart(ctx, &parked, countParkedSQL, countedAtMost); err != nil {
		return err
	}
	if err := m.d.DB.SelectApart(ctx, &live, countLiveSQL, countedAtMost, g.At); err != nil {
		return err
	}
	for _, r := range parked {
		g.Jobs["parked"] += r.N
		of(r.ID).Parked += r.N
	}
	for _, r := range live {
		g.Jobs[r.Of] += r.N
		d := of(r.ID)
		switch r.Of {
		case "due":
			d.Due += r.N
			d.OldestDue = max(0, g.At.Sub(r.Oldest.Time).Seconds())
		case "scheduled":
			d.Scheduled += r.N
		case "running":
			d.Running += r.N
		}
	}
	return nil
}

// destinationsByID finds a destination to be counted for; one that is not shown is forgotten.
func destinationsByID(g *contract.Gauges) func(id *string) *contract.DestinationGauges {
	of := make(map[string]*contract.DestinationGauges, len(g.Destinations))
	for i := range g.Destinations {
		of[g.Destinations[i].ID] = &g.Destinations[i]
	}
	return func(id *string) *contract.DestinationGauges {
		if id != nil && of[*id] != nil {
			return of[*id]
		}
		return &contract.DestinationGauges{}
	}
}

const countDeadLettersSQL = `
SELECT destination_id, kind AS of_kind, count(*) AS n
FROM   (SELECT destination_id, kind FROM dead_letters WHERE status = 'open' LIMIT $1) AS counted
GROUP  BY 1, 2`

func (m *Module) countDeadLetters(ctx context.Context, g *contract.Gauges) error {
	g.DeadLetters = map[string]int64{"exhausted": 0, "refused": 0, "unreadable": 0}
	of := destinationsByID(g)
	var rows []ofDestination
	if err := m.d.DB.SelectApart(ctx, &rows, countDeadLettersSQL, countedAtMost); err != nil {
		return err
	}
	for _, r := range rows {
		g.DeadLetters[r.Of] += r.N
		of(r.ID).DeadLetters += r.N
	}
	return nil
}

const selectCheckSQL = `
SELECT result FROM consistency_checks WHERE id = 1 AND result <> ''`

// readCheck reads the result of the last consistency check.
func (m *Module) readCheck(ctx context.Context, g *contract.Gauges) error {
	var results []string
	if err := m.d.DB.SelectApart(ctx, &results, selectCheckSQL); err != nil || len(results) == 0 {
		return err
	}
	g.Check = &contract.CheckSummary{}
	return json.Unmarshal([]byte(results[0]), g.Check)
}
