package figures

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// recently is the time of which Traffic tells what arrived.
const recently = 10 * time.Minute

// learnedFrom are the weeks before now from which a source's usual gap follows: the same hour
// of each. learnedLeast are the webhooks in them before there is a usual gap.
const (
	learnedFrom  = 4
	learnedLeast = 4
	week         = 7 * 24 * time.Hour
)

const selectLastAcceptedSQL = `
SELECT source, counts, at FROM figures_minutes
WHERE  at >= $1 AND destination_id = $2
ORDER  BY at`

// Traffic returns what arrived at each source lately, and what usually does at this hour of
// the week. LastAccepted is to the minute, and looked for in the last day; before that the
// source has been silent for a day, which is told as such.
func (m *Module) Traffic(ctx context.Context) ([]contract.SourceTraffic, error) {
	now := m.d.Now()
	recent, err := m.sumOf(ctx, selectMinutesSQL, now.Add(-recently).Truncate(time.Minute), now.Add(time.Minute))
	if err != nil {
		return nil, err
	}
	usual := sums{}
	hour := now.Truncate(time.Hour)
	for n := range learnedFrom {
		at := hour.Add(-time.Duration(n+1) * week)
		of, err := m.sumOf(ctx, selectHoursSQL, at, at.Add(time.Hour))
		if err != nil {
			return nil, err
		}
		usual.merge(of)
	}
	last, err := m.lastAccepted(ctx, now.Add(-24*time.Hour))
	if err != nil {
		return nil, err
	}
	bySource := map[string]*contract.SourceTraffic{}
	of := func(source string) *contract.SourceTraffic {
		if bySource[source] == nil {
			bySource[source] = &contract.SourceTraffic{Source: source, LastAccepted: last[source]}
		}
		return bySource[source]
	}
	for subject, s := range recent {
		t := of(subject.source)
		if subject.destination != noDestination {
			if t.Destinations == nil {
				t.Destinations = map[string]contract.DestinationTraffic{}
			}
			t.Destinations[subject.destination] = contract.DestinationTraffic{Attempts: s.attempts.count(), Failed: s.errors}
			continue
		}
		t.Received, t.Refused = s.accepted+s.duplicate+s.handshakes+s.failed+total(s.refused), s.refused
	}
	for subject, s := range usual {
		if subject.destination != noDestination || s.accepted < learnedLeast {
			continue
		}
		t := of(subject.source)
		t.UsualGap = learnedFrom * time.Hour / time.Duration(s.accepted)
		if t.LastAccepted.IsZero() {
			t.LastAccepted = now.Add(-24 * time.Hour)
		}
	}
	all := make([]contract.SourceTraffic, 0, len(bySource))
	for _, t := range bySource {
		all = append(all, *t)
	}
	return all, nil
}

// lastAccepted returns the minute of each source's last accepted webhook since a time.
func (m *Module) lastAccepted(ctx context.Context, since time.Time) (map[string]time.Time, error) {
	var rows []struct {
		Source string     `db:"source"`
		Counts []byte     `db:"counts"`
		At     clock.Time `db:"at"`
	}
	if err := m.d.DB.Select(ctx, &rows, selectLastAcceptedSQL, since, noDestination); err != nil {
		return nil, fmt.Errorf("read the last webhooks: %w", err)
	}
	last := map[string]time.Time{}
	for _, r := range rows {
		s := newSum()
		if err := s.add(r.Counts); err != nil {
			return nil, err
		}
		if s.accepted > 0 {
			last[r.Source] = r.At.Time
		}
	}
	return last, nil
}
