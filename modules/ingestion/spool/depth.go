package spool

import (
	"context"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// watch keeps the depth up to date until ctx ends.
func (s *Spool) watch(ctx context.Context) {
	for {
		s.look(ctx)
		if !clock.Sleep(ctx, s.cfg.Look) {
			return
		}
	}
}

// look reads the depth of both queues. Without the broker the last ones stay.
func (s *Spool) look(ctx context.Context) {
	waiting, err := s.d.Broker.Depth(ctx, broker.Spool)
	if err != nil {
		return
	}
	parked, err := s.d.Broker.Depth(ctx, broker.SpoolParked)
	if err != nil {
		return
	}
	now := s.d.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Waiting, s.state.Parked, s.looked = int64(waiting), int64(parked), true
	switch {
	case waiting > 0:
		s.used = now
		if s.since.IsZero() {
			s.since = now // by another process; the first that is stored tells more
		}
	case !s.gate.away.Load():
		s.since = time.Time{}
	}
}

// saw notes that the spool has held n more webhooks, the oldest received at that time.
func (s *Spool) saw(n int64, received time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = s.d.Now()
	s.state.Waiting = max(0, s.state.Waiting+n)
	if s.since.IsZero() || n <= 0 {
		s.since = received
	}
}

func (s *Spool) age() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		return 0
	}
	return max(0, s.d.Now.Since(s.since))
}

// Depth returns what is in the spool, as this process saw it last. A nil spool is empty.
func (s *Spool) Depth() contract.SpoolGauges {
	if s == nil {
		return contract.SpoolGauges{}
	}
	age := s.age()
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.state
	if g.Waiting > 0 {
		g.Oldest = age.Seconds()
	}
	return g
}

// settled is how long the spool must have been empty until what was in it is surely stored: the
// depth does not count the webhooks that a process is just storing.
const settled = time.Minute

// Settled reports whether everything that was spooled before is stored.
func (s *Spool) Settled(ctx context.Context) bool {
	if s == nil {
		return true
	}
	s.look(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Waiting == 0 && s.d.Now.Since(s.used) >= settled
}

// Clear reports whether the spool has been empty, the parked webhooks included, for as long, as far as
// this process knows.
func (s *Spool) Clear() bool {
	if s == nil {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looked && s.state.Waiting == 0 && s.state.Parked == 0 && s.d.Now.Since(s.used) >= settled
}
