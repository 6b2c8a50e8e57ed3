package figures

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/httpapi"
)

var statsSpec = httpapi.Spec{
	Summary: "What happened in the last 5 min, 1 h, 24 h and 7 d, and what waits now, by source and destination.",
	Query:   []httpapi.Param{httpapi.SourceParam()},
	Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "Stats", Stats{})},
}

func (m *Module) stats(c echo.Context) error {
	ctx := c.Request().Context()
	s, err := m.current(ctx)
	if err != nil {
		return err
	}
	g, measured := m.d.Gauges.Last()
	a := &answer{ctx: ctx, snapshot: s, gauges: g, sources: map[string]*SourceStats{}}
	a.stats = Stats{At: clock.At(s.at), Since: Windows{clock.At(s.since[0]), clock.At(s.since[1]), clock.At(s.since[2]), clock.At(s.since[3])}}
	if measured {
		at := clock.At(g.At)
		a.stats.MeasuredAt = &at
	}
	a.addSources()
	a.addDestinations()
	if httpapi.ScopeOf(ctx) == nil {
		a.stats.Gateway = a.gateway(m.diskUse(ctx, s))
	}
	return httpapi.Data(c, http.StatusOK, a.stats)
}

// answer is an answer that is being made.
type answer struct {
	ctx      context.Context //nolint:containedctx // of one request
	snapshot *snapshot
	gauges   contract.Gauges
	stats    Stats
	sources  map[string]*SourceStats
}

// total sums one window of a source and of its destinations, or of all.
func (a *answer) total(window int, ofSource func(source string) bool) Figures {
	all := newSum()
	for k, s := range a.snapshot.over[window] {
		if ofSource(k.source) {
			all.merge(s)
		}
	}
	return all.figures()
}

func (a *answer) over(of func(source string) bool) SourceOver {
	return SourceOver{a.total(0, of), a.total(1, of), a.total(2, of), a.total(3, of)}
}

// addSources adds every active source, and every other one that has figures.
func (a *answer) addSources() {
	names := map[string]bool{}
	for _, source := range a.gauges.Sources {
		names[source] = true
	}
	for k := range a.snapshot.over[3] {
		names[k.source] = true
	}
	a.stats.Sources = []SourceStats{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if httpapi.SeesSource(a.ctx, name) {
			a.stats.Sources = append(a.stats.Sources, SourceStats{Source: name, Over: a.over(func(s string) bool { return s == name }),
				Now: SourceNow{Quarantine: a.gauges.Quarantined[name]}})
		}
	}
	for i := range a.stats.Sources {
		a.sources[a.stats.Sources[i].Source] = &a.stats.Sources[i]
	}
}

// addDestinations adds every destination that exists, and every other one that has figures.
func (a *answer) addDestinations() {
	known := map[string]DestinationStats{}
	for _, d := range a.gauges.Destinations {
		known[d.ID] = a.measured(d)
	}
	for k := range a.snapshot.over[3] {
		if _, is := known[k.destination]; !is && k.destination != noDestination {
			known[k.destination] = DestinationStats{DestinationID: k.destination, Source: k.source, Now: DestinationNow{Breaker: "closed"}}
		}
	}
	a.stats.Destinations = []DestinationStats{}
	for id, d := range known {
		if !httpapi.SeesSource(a.ctx, d.Source) {
			continue
		}
		of := func(window int) Deliveries {
			if s := a.snapshot.over[window][subject{d.Source, id}]; s != nil {
				return s.deliveries()
			}
			return newSum().deliveries()
		}
		d.Over = DestinationOver{of(0), of(1), of(2), of(3)}
		a.stats.Destinations = append(a.stats.Destinations, d)
		if s := a.sources[d.Source]; s != nil {
			s.Now.add(d.Now)
		}
	}
	slices.SortFunc(a.stats.Destinations, func(x, y DestinationStats) int {
		return cmp.Or(cmp.Compare(x.Source, y.Source), cmp.Compare(x.DestinationID, y.DestinationID))
	})
}

func (a *answer) measured(d contract.DestinationGauges) DestinationStats {
	now := DestinationNow{Waiting: d.Due + d.Scheduled, Due: d.Due, OldestDue: d.OldestDue, Running: d.Running, Parked: d.Parked,
		Breaker: d.Breaker, Paused: d.Paused, DeadLetters: d.DeadLetters}
	if d.Parked > 0 {
		now.ParkedReason = &d.ParkedReason
	}
	if d.BreakerUntil != nil {
		until := clock.At(*d.BreakerUntil)
		now.BreakerUntil = &until
	}
	if d.PausedUntil != nil {
		until := clock.At(*d.PausedUntil)
		now.PausedUntil = &until
	}
	return DestinationStats{DestinationID: d.ID, Name: d.Name, Source: d.Source, Now: now}
}

func (n *SourceNow) add(d DestinationNow) {
	n.Waiting += d.Waiting
	n.Due += d.Due
	n.OldestDue = max(n.OldestDue, d.OldestDue)
	n.Running += d.Running
	n.Parked += d.Parked
	n.DeadLetters += d.DeadLetters
	if d.Breaker != "closed" {
		n.Breakers++
	}
}

func (a *answer) gateway(disk *Disk) *GatewayStats {
	g := &GatewayStats{Over: a.over(func(string) bool { return true }), OutboxLag: a.gauges.Unpublished, Spool: Spool(a.gauges.Spool), SealLag: a.gauges.SealLag,
		Partitions: map[string]float64{}, Disk: disk, Check: a.gauges.Check}
	maps.Copy(g.Partitions, a.gauges.Partitions)
	last := g.Over.FiveMinutes
	seconds := a.snapshot.at.Sub(a.snapshot.since[0]).Seconds()
	g.Rates = Rates{float64(last.Accepted) / seconds, float64(last.Refused) / seconds, float64(last.Delivered) / seconds}
	for _, d := range a.stats.Destinations {
		g.Now.add(d.Now)
	}
	// The totals also hold what belongs to no destination.
	jobs := a.gauges.Jobs
	g.Now.Due, g.Now.Waiting, g.Now.Running, g.Now.Parked = jobs["due"], jobs["due"]+jobs["scheduled"], jobs["running"], jobs["parked"]
	for _, age := range a.gauges.OldestDue {
		g.Now.OldestDue = max(g.Now.OldestDue, age)
	}
	g.Now.DeadLetters, g.Now.Quarantine = total(a.gauges.DeadLetters), total(a.gauges.Quarantined)
	return g
}
