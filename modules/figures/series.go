package figures

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// maxPoints bounds a series.
const maxPoints = 1000

// steps are the steps of a series, by their names.
var steps = map[string]time.Duration{"1m": time.Minute, "5m": 5 * time.Minute, "15m": 15 * time.Minute,
	"1h": time.Hour, "6h": 6 * time.Hour, "24h": 24 * time.Hour}

var stepNames = []string{"1m", "5m", "15m", "1h", "6h", "24h"}

var seriesSpec = httpapi.Spec{
	Summary: "The figures of a period in steps, of all sources, one of them, or one destination.",
	Query: []httpapi.Param{
		httpapi.SourceParam(),
		httpapi.UUIDParam("destination", "only attempts at this destination"),
		httpapi.TimeParam("from", "the period's beginning; by default an hour before its end"),
		httpapi.TimeParam("to", "the period's end; by default now"),
		httpapi.EnumParam("step", fmt.Sprintf("a point's length; by default the shortest that gives at most 120 points. %d points at most. Steps below an hour reach back 30 days, the others 400", maxPoints), stepNames...),
	},
	Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "StatsSeries", Series{})},
}

// period is what a series covers.
type period struct {
	from, to time.Time // full steps
	name     string
	step     time.Duration
}

// stepOf returns the shortest step that gives a reasonable number of points.
func stepOf(length, age, minutes time.Duration) string {
	for _, name := range stepNames {
		if steps[name] < time.Hour && age > minutes {
			continue
		}
		if length <= 120*steps[name] {
			return name
		}
	}
	return stepNames[len(stepNames)-1]
}

// periodOf reads the period that a request asks for.
func (m *Module) periodOf(q *httpapi.Query) (period, error) {
	now := m.d.Now()
	to, from := now, time.Time{}
	if t := q.Time("to"); t != nil {
		to = *t
	}
	from = to.Add(-time.Hour)
	if t := q.Time("from"); t != nil {
		from = *t
	}
	invalid := func(field, format string, args ...any) (period, error) {
		return period{}, httpapi.Invalid([]fault.Field{{Field: field, Message: fmt.Sprintf(format, args...)}})
	}
	if !from.Before(to) {
		return invalid("from", "must be before to")
	}
	if oldest := now.Add(-m.cfg.Hours); from.Before(oldest) {
		return invalid("from", "must be at most %d days ago; figures are not kept longer", int(m.cfg.Hours.Hours()/24))
	}
	if to.After(now.Add(time.Hour)) {
		return invalid("to", "must not be in the future")
	}
	name := q.Enum("step")
	if name == "" {
		name = stepOf(to.Sub(from), now.Sub(from), m.cfg.Minutes)
	}
	p := period{name: name, step: steps[name]}
	p.from, p.to = from.Truncate(p.step), to.Add(p.step-1).Truncate(p.step)
	if p.step < time.Hour && now.Sub(p.from) > m.cfg.Minutes+time.Hour {
		return invalid("step", "must be at least 1h for a period that began more than %d days ago", int(m.cfg.Minutes.Hours()/24))
	}
	if points := int(p.to.Sub(p.from) / p.step); points > maxPoints {
		return invalid("step", "of %s gives %d points, and at most %d are allowed; use %s, or a shorter period", name, points, maxPoints, longer(p.to.Sub(p.from)))
	}
	return p, nil
}

func longer(length time.Duration) string {
	for _, name := range stepNames {
		if length/steps[name] < maxPoints {
			return name
		}
	}
	return stepNames[len(stepNames)-1]
}

type timedRow struct {
	At     clock.Time `db:"at"`
	Counts []byte     `db:"counts"`
}

// series answers with the figures of a period.
func (m *Module) series(c echo.Context) error {
	ctx, q := c.Request().Context(), httpapi.QueryOf(c)
	p, err := m.periodOf(q)
	if err != nil {
		return err
	}
	scope, destination, now := httpapi.ScopeOf(ctx), q.UUID("destination"), m.d.Now()
	of := ofWhom(scope, destination)
	answer := Series{From: clock.At(p.from), To: clock.At(p.to), Step: p.name, Points: m.finished.first(of, p, now)}
	known := len(answer.Points)
	rest := p
	rest.from = p.from.Add(time.Duration(known) * p.step)
	sums, merged, err := m.sumsOf(ctx, rest, scope, destination)
	if err != nil {
		return err
	}
	for i, s := range sums {
		answer.Points = append(answer.Points, s.point(clock.At(rest.from.Add(time.Duration(i)*p.step))))
	}
	m.finished.keep(of, p.step, answer.Points[known:], merged, now)
	return httpapi.Data(c, http.StatusOK, answer)
}

// sumsOf sums the figures of all sources, some, or a destination by the steps of a period. It
// returns up to when hours are complete if the steps are hours.
func (m *Module) sumsOf(ctx context.Context, p period, scope *httpapi.Scope, destination string) (sums []*sum, merged time.Time, err error) {
	sums = make([]*sum, p.to.Sub(p.from)/p.step)
	for i := range sums {
		sums[i] = newSum()
	}
	minutesFrom := p.from
	if p.step >= time.Hour {
		if merged, err = m.mergedUntil(ctx); err != nil {
			return nil, merged, err
		}
		if merged.After(p.from) {
			minutesFrom = merged
		}
	}
	read := func(table string, from, to time.Time) error {
		if !from.Before(to) {
			return nil
		}
		where := &database.Filter{}
		where.Add("at >= ?", from)
		where.Add("at < ?", to)
		if destination != "" {
			where.Add("destination_id = ?", destination)
		}
		if scope != nil {
			where.Among("source", scope.Sources)
		}
		clause, args := where.Where()
		var rows []timedRow
		if err := m.d.DB.Select(ctx, &rows, "SELECT at, counts FROM "+table+" "+clause, args...); err != nil {
			return fmt.Errorf("read the figures: %w", err)
		}
		for _, r := range rows {
			if err := sums[r.At.Sub(p.from)/p.step].add(r.Counts); err != nil {
				return err
			}
		}
		return nil
	}
	if err := read("figures_hours", p.from, earlier(minutesFrom, p.to)); err != nil {
		return nil, merged, err
	}
	return sums, merged, read("figures_minutes", minutesFrom, p.to)
}

func earlier(a, b time.Time) time.Time { return slices.MinFunc([]time.Time{a, b}, time.Time.Compare) }
