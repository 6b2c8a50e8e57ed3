package ingestion

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

const (
	sourceAge     = time.Second // how long a revoked secret may go on verifying
	maxAsking     = 512         // requests that wait for a load
	sourceTimeout = 5 * time.Second
	maxSources    = 4096 // names that are remembered, unknown ones included
	maxSourceName = 64
	brokenPause   = 30 * time.Second // what senders to a source that cannot be used are asked to wait
)

// source is an integration as the hot path needs it. It is shared and never changed.
type source struct {
	integrationID string
	name          string
	spec          provider.Spec
	redaction     provider.Redaction
	secrets       []provider.Secret // the active ones
	own           []secret.Value    // the gateway's, which are not stored either
	expiries      []time.Time       // of secrets, in their order; zero for never
	expiring      bool              // some secret has an expiry
	rateLimit     *int
	maxBodyBytes  *int64
	broken        error // why it cannot be used, in which case it is not
}

// secretsAt are the secrets that verify at that time: one that expires while it is
// remembered stops at once.
func (s *source) secretsAt(at time.Time) []provider.Secret {
	if !s.expiring {
		return s.secrets
	}
	var valid []provider.Secret
	for i, secret := range s.secrets {
		if s.expiries[i].IsZero() || at.Before(s.expiries[i]) {
			valid = append(valid, secret)
		}
	}
	return valid
}

// sources remembers integrations for at most sourceAge, so that a webhook costs no
// query and a change is seen within a second. Unknown names are remembered too, in
// bounded number.
type sources struct {
	load   func(ctx context.Context, name string) (*source, error) // nil: unknown or inactive
	now    clock.Now
	flight singleflight.Group

	waiting atomic.Int32 // for a load

	mu      sync.Mutex
	entries map[string]sourceEntry
	changes uint64 // counts Invalidate, so that a load from before is not kept
}

type sourceEntry struct {
	source *source
	at     time.Time
}

func newSources(load func(context.Context, string) (*source, error), now clock.Now) *sources {
	return &sources{load: load, now: now, entries: map[string]sourceEntry{}}
}

// find gives the active integration of that source name, else fault.NotFound, which
// does not tell an inactive source from one that never was. One whose settings this
// program cannot use is fault.Unavailable, and no other source is affected.
func (s *sources) find(ctx context.Context, name string) (*source, error) {
	if !validSource(name) {
		return nil, unknownSource()
	}
	src, fresh := s.remembered(name)
	if !fresh {
		var err error
		if src, err = s.ask(ctx, name); err != nil {
			return nil, err
		}
	}
	switch {
	case src == nil:
		return nil, unknownSource()
	case src.broken != nil:
		return nil, fault.Unavailable.Wrap(src.broken, "source_broken",
			"This source cannot take webhooks until its operator mends its settings.").After(brokenPause)
	}
	return src, nil
}

func unknownSource() error {
	return fault.NotFound.New("unknown_source", "There is no active source of this name.")
}

// ask loads name once for all who ask for it at this moment. The load belongs to no
// single request. So many may wait for it: a database that hangs must not gather all
// that is sent meanwhile.
func (s *sources) ask(ctx context.Context, name string) (*source, error) {
	if s.waiting.Add(1) > maxAsking {
		s.waiting.Add(-1)
		return nil, fault.Unavailable.New("sources_slow", "The database takes too long.").After(time.Second)
	}
	defer s.waiting.Add(-1)
	answer := s.flight.DoChan(name, func() (any, error) {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), sourceTimeout)
		defer cancel()
		at, changes := s.now(), s.changesSoFar()
		src, err := s.load(own, name)
		if err != nil {
			return nil, fmt.Errorf("load the source %s: %w", name, err)
		}
		s.remember(name, sourceEntry{src, at}, changes)
		return src, nil
	})
	select {
	case r := <-answer:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*source), nil
	case <-ctx.Done():
		return nil, callerGone(ctx.Err())
	}
}

func (s *sources) remembered(name string) (*source, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[name]
	return e.source, ok && s.now.Since(e.at) < sourceAge
}

func (s *sources) changesSoFar() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes
}

func (s *sources) remember(name string, e sourceEntry, changes uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if changes != s.changes {
		return
	}
	if len(s.entries) >= maxSources {
		clear(s.entries) // a flood of made-up names; what is real is loaded again
	}
	s.entries[name] = e
}

func (s *sources) invalidate(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	delete(s.entries, name)
	s.flight.Forget(name)
}

// validSource keeps names that cannot exist away from the database: a letter or digit,
// then letters, digits, - and _, all lower case, at most 64 in all.
func validSource(name string) bool {
	if name == "" || len(name) > maxSourceName {
		return false
	}
	for i, b := range []byte(name) {
		letter := b >= 'a' && b <= 'z' || b >= '0' && b <= '9'
		if !letter && (i == 0 || b != '-' && b != '_') {
			return false
		}
	}
	return true
}
