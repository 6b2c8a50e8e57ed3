package figures

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"integration-gateway/platform/clock"
)

// subject is what figures are of: a source, or one of its destinations.
type subject struct{ source, destination string }

type row struct {
	Source      string `db:"source"`
	Destination string `db:"destination_id"`
	Counts      []byte `db:"counts"`
}

type sums map[subject]*sum

func (s sums) of(k subject) *sum {
	if s[k] == nil {
		s[k] = newSum()
	}
	return s[k]
}

func (s sums) add(rows []row) error {
	for _, r := range rows {
		if err := s.of(subject{r.Source, r.Destination}).add(r.Counts); err != nil {
			return fmt.Errorf("figures of %s: %w", r.Source, err)
		}
	}
	return nil
}

func (s sums) merge(o sums) {
	for k, of := range o {
		s.of(k).merge(of)
	}
}

// windows are sums by window, in the order of Windows.
type windows [4]sums

func newWindows() windows { return windows{{}, {}, {}, {}} }

// snapshot is what is answered for a short time.
type snapshot struct {
	at    time.Time
	since [4]time.Time
	over  windows
}

// olderSums are the sums of the windows up to a minute. They change once a minute, and must not
// be changed.
type olderSums struct {
	until time.Time
	since [4]time.Time
	over  windows
}

const selectMergedUntilSQL = `
SELECT merged_until FROM figures_merge WHERE id = 1`

const selectMinutesSQL = `
SELECT source, destination_id, counts FROM figures_minutes WHERE at >= $1 AND at < $2`

const selectHoursSQL = `
SELECT source, destination_id, counts FROM figures_hours WHERE at >= $1 AND at < $2`

// openMinutes are the last minutes, which still change and are read for each snapshot.
const openMinutes = 2

// beginnings returns when the windows that end at now begin.
func beginnings(now time.Time) [4]time.Time {
	minute := now.Truncate(time.Minute)
	return [4]time.Time{minute.Add(-5 * time.Minute), minute.Add(-time.Hour), minute.Add(-24 * time.Hour),
		now.Add(-7 * 24 * time.Hour).Truncate(time.Hour)}
}

// Reading the older sums takes longer than an answer may: they are read ahead, once a minute,
// for as long as somebody asked within wantedFor. Until those of a new minute are read, an
// answer takes the ones before, and more of the last minutes: its windows begin up to lateBy
// earlier.
const (
	wantedFor = 24 * time.Hour
	lateBy    = 2 * time.Minute
)

// olderUntil returns the minute up to which the older sums reach.
func olderUntil(now time.Time) time.Time {
	return now.Truncate(time.Minute).Add(-openMinutes * time.Minute)
}

// current returns a snapshot that is at most Config.FreshFor old. Callers at once share one.
func (m *Module) current(ctx context.Context) (*snapshot, error) {
	m.reading.Lock()
	defer m.reading.Unlock()
	now := m.d.Now()
	m.wanted = now
	if m.last != nil && now.Sub(m.last.at) < m.cfg.FreshFor && !now.Before(m.last.at) {
		return m.last, nil
	}
	until := olderUntil(now)
	if m.older == nil || m.older.until.After(until) || until.Sub(m.older.until) > lateBy {
		older, err := m.readOlder(ctx, beginnings(now), until)
		if err != nil {
			return nil, err
		}
		m.older = older
	}
	recent, err := m.sumOf(ctx, selectMinutesSQL, m.older.until, now.Add(time.Minute))
	if err != nil {
		return nil, err
	}
	s := &snapshot{at: now, since: m.older.since, over: newWindows()}
	for i := range s.over {
		s.over[i].merge(m.older.over[i])
		s.over[i].merge(recent)
	}
	m.last = s
	return s, nil
}

// prepare reads the older sums of a new minute and measures the disk, if answers are wanted,
// while answers take what was read before.
func (m *Module) prepare(ctx context.Context) error {
	now := m.d.Now()
	until := olderUntil(now)
	m.reading.Lock()
	wanted := now.Sub(m.wanted) < wantedFor && m.older != nil
	current := wanted && m.older.until.Equal(until)
	m.reading.Unlock()
	if !wanted {
		return nil
	}
	if m.disk.Load() != nil {
		m.measureDisk(ctx)
	}
	if current {
		return nil
	}
	older, err := m.readOlder(ctx, beginnings(now), until)
	if err != nil {
		return err
	}
	m.reading.Lock()
	defer m.reading.Unlock()
	m.older = older
	return nil
}

func (m *Module) sumOf(ctx context.Context, query string, from, to time.Time) (sums, error) {
	of := sums{}
	if !from.Before(to) {
		return of, nil
	}
	var rows []row
	if err := m.d.DB.Select(ctx, &rows, query, from, to); err != nil {
		return nil, fmt.Errorf("read the figures: %w", err)
	}
	return of, of.add(rows)
}

// mergedUntil returns the time before which the hours are complete.
func (m *Module) mergedUntil(ctx context.Context) (time.Time, error) {
	var until clock.Time
	err := m.d.DB.Get(ctx, &until, selectMergedUntilSQL)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	return until.Time, err
}

// readOlder sums the windows until a minute, each row once: the shorter windows are parts of
// the longer ones.
func (m *Module) readOlder(ctx context.Context, since [4]time.Time, until time.Time) (*olderSums, error) {
	m.preparing.Lock()
	defer m.preparing.Unlock()
	merged, err := m.mergedUntil(ctx)
	if err != nil {
		return nil, err
	}
	older := &olderSums{until: until, since: since, over: newWindows()}
	upper := until
	for i, from := range since {
		part, err := m.between(ctx, from, upper, merged)
		if err != nil {
			return nil, err
		}
		for longer := i; longer < len(since); longer++ {
			older.over[longer].merge(part)
		}
		upper = from
	}
	return older, nil
}

// between sums what happened in a period: its full hours by their rows where they are
// complete, and the rest by minutes.
func (m *Module) between(ctx context.Context, from, to, merged time.Time) (sums, error) {
	firstHour, lastHour := from.Add(time.Hour-1).Truncate(time.Hour), to.Truncate(time.Hour)
	if lastHour.After(merged) {
		lastHour = merged
	}
	if !firstHour.Before(lastHour) {
		return m.sumOf(ctx, selectMinutesSQL, from, to)
	}
	hours, err := m.hoursBetween(ctx, firstHour, lastHour)
	if err != nil {
		return nil, err
	}
	all := sums{}
	all.merge(hours)
	for _, edge := range [][2]time.Time{{from, firstHour}, {lastHour, to}} {
		part, err := m.sumOf(ctx, selectMinutesSQL, edge[0], edge[1])
		if err != nil {
			return nil, err
		}
		all.merge(part)
	}
	return all, nil
}

// hoursFreshFor is how long sums of hours are used again. They only change if a process
// stores figures of an hour long after its end.
const hoursFreshFor = 10 * time.Minute

// hourSums are the sums of a period's hours, read at a time. They must not be changed.
type hourSums struct {
	read time.Time
	sums sums
}

func (m *Module) hoursBetween(ctx context.Context, from, to time.Time) (sums, error) {
	now := m.d.Now()
	for period, cached := range m.hours {
		if age := now.Sub(cached.read); age >= hoursFreshFor || age < 0 {
			delete(m.hours, period)
		}
	}
	period := [2]time.Time{from.UTC(), to.UTC()}
	if cached, is := m.hours[period]; is {
		return cached.sums, nil
	}
	of, err := m.sumOf(ctx, selectHoursSQL, from, to)
	if err == nil {
		m.hours[period] = hourSums{now, of}
	}
	return of, err
}
