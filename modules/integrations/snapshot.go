package integrations

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider"
)

const (
	snapshotAge      = time.Second            // how long a revoked secret may still verify
	snapshotEvery    = 500 * time.Millisecond // how often the background polls for changes
	snapshotRetry    = 100 * time.Millisecond // how long a failed read is not repeated
	snapshotTimeout  = 5 * time.Second
	maxWaiting       = 512              // requests that wait for a read
	brokenRetryAfter = 30 * time.Second // the Retry-After of a source with unusable settings
)

// snapshot holds all integrations that are not archived at a point in time. It is immutable.
type snapshot struct {
	sources   map[string]loaded // by name
	names     map[string]string // of sources, by integration id
	edition   any               // of the provider registry
	revisions revisions         // of all integrations, as read
	broken    []string          // unusable integrations, which are reloaded each time
	at        time.Time         // when the read began
}

// snapshots holds the newest snapshot. A webhook causes no query: twice a second the
// background compares revisions and reads only the sources that changed. A name that is missing from a fresh
// snapshot is unknown, without a query, so made-up names cost nothing. If the snapshot is
// stale, or this process has just changed the source, one read answers all waiting requests.
// While the database is unavailable the last snapshot stays in use.
type snapshots struct {
	load func(ctx context.Context, before *snapshot) (*snapshot, error)
	now  clock.Now

	known   atomic.Pointer[snapshot]
	tried   atomic.Int64 // when the last read began, in nanoseconds since 1970
	pending atomic.Int32 // len(changed), readable without the lock
	waiting atomic.Int32 // requests that wait for a read

	mu      sync.Mutex
	reading *reading          // nil while no read is running
	last    *reading          // the last completed read
	changes uint64            // number of calls of invalidate
	changed map[string]uint64 // unread changes: the number of the change, by source name
}

// reading is one read, shared by all requests that wait for it.
type reading struct {
	done    chan struct{}
	at      time.Time
	changes uint64 // the changes that it includes for certain
	err     error  // set when done
}

func newSnapshots(load func(context.Context, *snapshot) (*snapshot, error), now clock.Now) *snapshots {
	return &snapshots{load: load, now: now, changed: map[string]uint64{}}
}

// find returns the source of that name, active or disabled, or fault.NotFound if there is none.
// It returns fault.Unavailable for an active source with unusable settings, which affects no
// other source; a disabled one with such settings is as good as none.
func (s *snapshots) find(ctx context.Context, name string) (*provider.Source, error) {
	if !provider.ValidSourceName(name) {
		return nil, provider.NoSource()
	}
	if err := s.refresh(ctx, name); err != nil {
		return nil, err
	}
	known := s.known.Load()
	one, ok := known.sources[name]
	switch {
	case !ok && s.now.Since(known.at) >= 3*snapshotAge:
		return nil, sourcesAway(nil) // it may be new, and an outage is not the sender's fault
	case !ok, one.broken != nil && one.Disabled:
		return nil, provider.NoSource()
	case one.broken != nil:
		return nil, fault.Unavailable.Wrap(one.broken, "source_broken",
			"This source cannot accept webhooks until its operator fixes its settings.").After(brokenRetryAfter)
	}
	return one.Source, nil
}

func sourcesAway(err error) error {
	return fault.Unavailable.Wrap(err, "sources_away", "The sources cannot be read from the database at the moment.").After(time.Second)
}

// active reports whether a fresh snapshot has the integration, and has it as active.
func (s *snapshots) active(integrationID string) bool {
	known := s.known.Load()
	if known == nil || s.now.Since(known.at) >= snapshotAge {
		return false
	}
	name, ok := known.names[integrationID]
	return ok && !known.sources[name].Disabled && s.changeOf(name) == 0
}

// refresh waits for a read if the request needs one: before the first snapshot, and after
// this process has changed the source. If the background is late, one request waits briefly
// for a read and then uses the current snapshot.
func (s *snapshots) refresh(ctx context.Context, name string) error {
	number := s.changeOf(name)
	if s.known.Load() != nil && number == 0 {
		if s.now().UnixNano()-s.tried.Load() < int64(snapshotAge) {
			return nil
		}
		patient, cancel := context.WithTimeout(ctx, snapshotAge)
		defer cancel()
		if r, began := s.read(); began {
			_ = s.wait(patient, r)
		}
		return nil
	}
	for {
		r, _ := s.read()
		if err := s.wait(ctx, r); err != nil {
			return err
		}
		if r.changes >= number {
			return nil
		}
	}
}

// changeOf returns the number of the source's unread change; 0 if there is none.
func (s *snapshots) changeOf(name string) uint64 {
	if s.pending.Load() == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed[name]
}

// wait waits for a read. The number of waiting requests is bounded, so that a hanging database
// does not accumulate them.
func (s *snapshots) wait(ctx context.Context, r *reading) error {
	if s.waiting.Add(1) > maxWaiting {
		s.waiting.Add(-1)
		return fault.Unavailable.New("sources_slow", "The database did not answer in time.").After(time.Second)
	}
	defer s.waiting.Add(-1)
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fault.Unavailable.Wrap(ctx.Err(), "caller_gone", "The caller closed the connection before the answer.").After(time.Second)
	}
}

// read returns the running read or starts one. If the last one has just failed, read returns
// that. A read is independent of the request that started it.
func (s *snapshots) read() (r *reading, began bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	switch {
	case s.reading != nil:
		return s.reading, false
	case s.last != nil && s.last.err != nil && now.Sub(s.last.at).Abs() < snapshotRetry: // the clock may step back
		return s.last, false
	}
	s.reading = &reading{done: make(chan struct{}), at: now, changes: s.changes}
	s.tried.Store(now.UnixNano())
	go s.run(s.reading)
	return s.reading, true
}

func (s *snapshots) run(r *reading) {
	ctx, cancel := context.WithTimeout(context.Background(), snapshotTimeout)
	defer cancel()
	now, err := s.load(ctx, s.known.Load())
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		r.err = fmt.Errorf("read the sources: %w", err)
	} else {
		now.at = r.at
		s.known.Store(now)
		for name, number := range s.changed {
			if number <= r.changes {
				delete(s.changed, name)
			}
		}
		s.pending.Store(int32(len(s.changed))) //nolint:gosec // a handful
	}
	s.reading, s.last = nil, r
	close(r.done)
}

// follow reads changes until ctx ends.
func (s *snapshots) follow(ctx context.Context) {
	tick := time.NewTicker(snapshotEvery)
	defer tick.Stop()
	for {
		s.read()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// invalidate makes the next request of that source wait for a read that includes the change.
func (s *snapshots) invalidate(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	s.changed[name] = s.changes
	s.pending.Store(int32(len(s.changed))) //nolint:gosec // a handful
}
