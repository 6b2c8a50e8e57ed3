package bulk

import (
	"context"
	"slices"
	"strings"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// firstShown is how many events a dry run shows.
const firstShown = 20

// found is what a filter selects in a bounded part of the events.
type found struct {
	events  []contract.ReplayEvent
	targets map[string][]string // destinations by event; without those that have none
	last    contract.ReplayPosition
	end     bool
}

// find looks at limit events after a position. A dry run, the count and the replay itself all
// select by it.
func (m *Replays) find(ctx context.Context, f filter, integrations []string, to where, after contract.ReplayPosition, upTo clock.Time, limit int) (found, error) {
	page, err := m.d.Events.ReplayPage(ctx, f.events(integrations), after, upTo.Time, limit)
	if err != nil {
		return found{}, err
	}
	part := found{last: page.Last, end: page.End}
	ids := make([]string, len(page.Events))
	for i, e := range page.Events {
		ids[i] = e.EventID
	}
	if part.targets, err = m.d.Deliveries.ReplayTargets(ctx, f.deliveries(to), ids); err != nil {
		return found{}, err
	}
	for _, e := range page.Events {
		if len(part.targets[e.EventID]) > 0 {
			part.events = append(part.events, e)
		}
	}
	return part, nil
}

func (f found) deliveries() (n int64) {
	for _, e := range f.events {
		n += int64(len(f.targets[e.EventID]))
	}
	return n
}

// count says what an order would do. It reads part by part, so its memory does not grow with
// the number of events; it gives up after a while.
func (m *Replays) count(ctx context.Context, o order) (dryRun, error) {
	began := m.d.Now()
	sum := dryRun{DryRun: true, BySource: []bySource{}, ByDestination: []byDestination{}, First: []firstEvent{}}
	if o.payload == contract.PayloadRenormalized {
		sum.Changes = &changes{First: []changedEvent{}}
	}
	after, upTo := startOf(o.filter), clock.At(began)
	for !sum.Complete && m.d.Now.Since(began) < m.cfg.Count {
		part, err := m.find(ctx, o.filter, o.integrations, where{o.destination, o.url != nil}, after, upTo, m.cfg.Scan)
		if err != nil {
			return sum, err
		}
		for _, e := range part.events {
			sum.add(e, part.targets[e.EventID])
		}
		if err := m.compare(ctx, sum.Changes, part.events); err != nil {
			return sum, err
		}
		after, sum.Complete = part.last, part.end
	}
	slices.SortFunc(sum.BySource, func(a, b bySource) int { return strings.Compare(a.Source, b.Source) })
	slices.SortFunc(sum.ByDestination, func(a, b byDestination) int { return strings.Compare(a.Destination, b.Destination) })
	return sum, nil
}

func (s *dryRun) add(e contract.ReplayEvent, destinations []string) {
	at := clock.At(e.ReceivedAt)
	if s.Oldest == nil {
		s.Oldest = &at
	}
	s.Newest = &at
	s.Events++
	s.Counts.Matched += int64(len(destinations))
	i := slices.IndexFunc(s.BySource, func(b bySource) bool { return b.Source == e.Source })
	if i < 0 {
		i, s.BySource = len(s.BySource), append(s.BySource, bySource{Source: e.Source})
	}
	s.BySource[i].Events++
	s.BySource[i].Deliveries += int64(len(destinations))
	for _, d := range destinations {
		if d == "" { // a URL
			destinations = []string{}
			break
		}
		i := slices.IndexFunc(s.ByDestination, func(b byDestination) bool { return b.Destination == d })
		if i < 0 {
			i, s.ByDestination = len(s.ByDestination), append(s.ByDestination, byDestination{Destination: d})
		}
		s.ByDestination[i].Deliveries++
	}
	if len(s.First) < firstShown {
		s.First = append(s.First, firstEvent{EventID: e.EventID, Source: e.Source, EventType: e.EventType, Subject: e.Subject, ReceivedAt: at, Destinations: destinations})
	}
}
