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

// Traffic returns what arrived at each source lately, and what usually does at this hour of
// the week. LastAccepted is to the minute, and looked for in the last day; before that the
// source has been silent for a day, which is told as such. It is called by one goroutine.
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
	last, err := m.accepted.at(ctx, m, now)
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
			t.LastAccepted = now.Add(-lookedBack)
		}
	}
	all := make([]contract.SourceTraffic, 0, len(bySource))
	for _, t := range bySource {
		all = append(all, *t)
	}
	return all, nil
}

// The last accepted webhooks are looked for in the last day. A process reads the hours of a day
// and the minutes of lastMinutes once, and then only the minutes since it last did, and those
// before in which another process may have stored late.
const (
	lookedBack  = 24 * time.Hour
	lastMinutes = 3 * time.Hour
	storedLate  = 15 * time.Minute
)

const (
	selectAcceptedMinutesSQL = `
SELECT source, counts, at FROM figures_minutes
WHERE  at >= $1 AND at < $2 AND destination_id = $3`
	selectAcceptedHoursSQL = `
SELECT source, counts, at FROM figures_hours
WHERE  at >= $1 AND at < $2 AND destination_id = $3`
)

// lastAccepted remembers when each source last accepted a webhook.
type lastAccepted struct {
	read time.Time // until when it was looked for
	last map[string]time.Time
}

// at returns the minute of each source's last accepted webhook within a day; the end of the
// hour if it was hours before this process began.
func (l *lastAccepted) at(ctx context.Context, m *Module, now time.Time) (map[string]time.Time, error) {
	if l.last == nil || now.Before(l.read) || now.Sub(l.read) > lastMinutes-storedLate {
		l.last, l.read = map[string]time.Time{}, now.Add(storedLate-lastMinutes)
		if err := l.look(ctx, m, selectAcceptedHoursSQL, now.Add(-lookedBack), now.Add(-lastMinutes), time.Hour); err != nil {
			l.last = nil
			return nil, err
		}
	}
	if err := l.look(ctx, m, selectAcceptedMinutesSQL, l.read.Add(-storedLate), now.Add(time.Minute), 0); err != nil {
		return nil, err
	}
	l.read = now
	recent := map[string]time.Time{}
	for source, at := range l.last {
		if now.Sub(at) < lookedBack {
			recent[source] = at
		}
	}
	l.last = recent
	return recent, nil
}

// look reads rows of a length.
func (l *lastAccepted) look(ctx context.Context, m *Module, query string, from, to time.Time, length time.Duration) error {
	var rows []struct {
		Source string     `db:"source"`
		Counts []byte     `db:"counts"`
		At     clock.Time `db:"at"`
	}
	if err := m.d.DB.Select(ctx, &rows, query, from, to, noDestination); err != nil {
		return fmt.Errorf("read the last webhooks: %w", err)
	}
	for _, r := range rows {
		end := r.At.Add(length)
		if !end.After(l.last[r.Source]) {
			continue
		}
		s := newSum()
		if err := s.add(r.Counts); err != nil {
			return err
		}
		if s.accepted > 0 {
			l.last[r.Source] = end
		}
	}
	return nil
}
