// Package keysets downloads and caches the JSON Web Key Sets with which issuers' tokens are
// verified. Addresses come from definitions of providers and never from a request; requests
// cause downloads only by naming a key that is not known, which is bounded.
package keysets

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider/webtoken"
)

// The times and bounds of the cache.
const (
	FreshFor   = time.Hour        // after which a set is downloaded again, in the background
	WaitAfter  = 2 * time.Hour    // after which requests wait for that: a withdrawn key must not stay in use
	UsableFor  = 24 * time.Hour   // after which a set that cannot be downloaded is no longer used
	MinRefetch = 30 * time.Second // at least this long between two downloads of one set
	Deadline   = 5 * time.Second  // of one download
	MaxBytes   = 256 << 10        // of a set
	MaxWaiting = 64               // requests that wait for one set
	maxSets    = 256
)

// Fetch downloads a page of at most MaxBytes.
type Fetch func(ctx context.Context, url string) (status int, body []byte, err error)

// Cache holds the sets by address.
type Cache struct {
	fetch Fetch
	now   clock.Now

	mu   sync.Mutex
	sets map[string]*set
}

// set is what is known of the keys at one address.
type set struct {
	keys      []jose.JSONWebKey // the last that were downloaded
	fetchedAt time.Time         // when their download began
	triedAt   time.Time         // when the last download began
	err       error             // of the last download
	usedAt    time.Time
	running   chan struct{} // closed when the running download has ended; nil if none runs
	waiting   int
}

// New makes an empty cache.
func New(fetch Fetch, now clock.Now) *Cache {
	return &Cache{fetch: fetch, now: now, sets: map[string]*set{}}
}

// Keys returns the keys at an address, with the key of that id if there is one; an id of ""
// needs any. It waits for a download only if the cached keys do not do, and then at most for
// Deadline. Its errors are fault.Unavailable: without keys nothing is verified.
func (c *Cache) Keys(ctx context.Context, url, keyID string) ([]jose.JSONWebKey, error) {
	keys, running, err := c.lookUp(ctx, url, keyID)
	if running == nil {
		return keys, err
	}
	defer c.leave(url)
	select {
	case <-running:
	case <-ctx.Done():
		return nil, fault.Unavailable.Wrap(ctx.Err(), "caller_gone", "The caller closed the connection before the answer.").After(time.Second)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sets[url].answer(c.now(), keyID)
}

// lookUp returns the cached keys, or a channel that is closed when the download ends. In that
// case the caller counts as waiting until it calls leave.
func (c *Cache) lookUp(ctx context.Context, url, keyID string) ([]jose.JSONWebKey, <-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	s := c.set(url)
	if s == nil {
		return nil, nil, busy()
	}
	s.usedAt = now
	due := now.Sub(s.triedAt) >= MinRefetch && s.running == nil
	known := s.usable(now) && s.has(keyID)
	if age := now.Sub(s.fetchedAt); known && (age < WaitAfter || s.err != nil) { // an issuer that is away is waited for once
		if due && age >= FreshFor {
			c.start(ctx, url, s)
		}
		return s.keys, nil, nil
	}
	if due {
		c.start(ctx, url, s)
	}
	switch {
	case s.running == nil: // tried a moment ago
		keys, err := s.answer(now, keyID)
		return keys, nil, err
	case s.waiting >= MaxWaiting && known:
		return s.keys, nil, nil
	case s.waiting >= MaxWaiting:
		return nil, nil, busy()
	}
	s.waiting++
	return nil, s.running, nil
}

func busy() error {
	return fault.Unavailable.New("keys_busy", "The issuer's keys are being downloaded, and too many requests wait for them.").After(Deadline)
}

// set returns the set of an address. If there are too many, it forgets the one that was not
// used for the longest time; it returns nil if all are being downloaded.
func (c *Cache) set(url string) *set {
	if s := c.sets[url]; s != nil {
		return s
	}
	if len(c.sets) >= maxSets {
		oldest := ""
		for at, s := range c.sets {
			if s.running == nil && s.waiting == 0 && (oldest == "" || s.usedAt.Before(c.sets[oldest].usedAt)) {
				oldest = at
			}
		}
		if oldest == "" {
			return nil
		}
		delete(c.sets, oldest)
	}
	s := &set{}
	c.sets[url] = s
	return s
}

func (c *Cache) leave(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sets[url].waiting--
}

// start downloads a set for all requests that wait for it.
func (c *Cache) start(ctx context.Context, url string, s *set) {
	s.triedAt, s.running = c.now(), make(chan struct{})
	began := s.triedAt
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Deadline)
		defer cancel()
		keys, err := c.download(ctx, url)
		c.mu.Lock()
		defer c.mu.Unlock()
		s.err = err
		if err == nil {
			s.keys, s.fetchedAt = keys, began
		}
		close(s.running)
		s.running = nil
	}()
}

func (c *Cache) download(ctx context.Context, url string) (keys []jose.JSONWebKey, err error) {
	defer func() {
		if v := recover(); v != nil { // in a goroutine of its own it would end the process
			keys, err = nil, fmt.Errorf("panic: %v", v)
		}
	}()
	status, body, err := c.fetch(ctx, url)
	switch {
	case err != nil:
		return nil, err
	case status != http.StatusOK:
		return nil, fmt.Errorf("the answer was %d", status)
	case len(body) >= MaxBytes:
		return nil, errors.New("the answer is too long")
	}
	return webtoken.ReadSet(body)
}

// usable reports whether the keys may be used to verify requests.
func (s *set) usable(now time.Time) bool { return s.keys != nil && now.Sub(s.fetchedAt) < UsableFor }

func (s *set) has(keyID string) bool {
	return keyID == "" || slices.ContainsFunc(s.keys, func(key jose.JSONWebKey) bool { return key.KeyID == keyID })
}

// answer returns the keys, whether or not the one that is looked for is among them: a key that
// the issuer's answer lacks is not the issuer's. If the issuer did not answer, it may be one
// that was added since.
func (s *set) answer(now time.Time, keyID string) ([]jose.JSONWebKey, error) {
	if s.usable(now) && (s.err == nil || s.has(keyID)) {
		return s.keys, nil
	}
	err := s.err
	if err == nil {
		err = errors.New("they are too old")
	}
	return nil, fault.Unavailable.Wrap(err, "keys_unavailable", "The issuer's keys cannot be downloaded at the moment.").After(MinRefetch)
}
