// Package cache is the fast path: Redis, or this process's memory for the embedded
// default. Both drivers pass one conformance suite.
//
// Everything here may fail, be slow, or be lost, and nothing may depend on it but
// speed: an error means "ask the database". Calls take many items at once and
// spend one round trip on them.
package cache

import (
	"context"
	"errors"
	"time"
)

// ErrDown says that the cache cannot be used now. Every error of a driver is one,
// unless the caller's own context was cancelled first.
var ErrDown = errors.New("the cache is down")

// Claim asks for a key that nobody has yet.
type Claim struct {
	Key   string
	Value string
	TTL   time.Duration
}

// Claimed is the answer to a Claim: Won, or the value that stands there already.
type Claimed struct {
	Won   bool
	Value string
}

// Item is a value to keep for a time.
type Item struct {
	Key   string
	Value string
	TTL   time.Duration
}

// Count is one more occurrence within a window that starts with the first.
type Count struct {
	Key    string
	Window time.Duration
}

// Counted is the number of occurrences so far, this one included, and how long
// the window still lasts.
type Counted struct {
	N     int64
	Reset time.Duration
}

// Cache keeps short-lived values. Keys are prefixed with the installation's id, which
// the constructor is given, so that two installations on one server do not meet.
type Cache interface {
	// Claim sets each key that is absent (SET NX GET with an expiry).
	Claim(ctx context.Context, claims []Claim) ([]Claimed, error)
	// Set overwrites.
	Set(ctx context.Context, items []Item) error
	// Release deletes each key that still holds the value it was claimed with.
	Release(ctx context.Context, items []Claim) error
	// Count adds one to each key.
	Count(ctx context.Context, counts []Count) ([]Counted, error)
	// Ping answers nil when the cache can be used.
	Ping(ctx context.Context) error
	// Close ends the connections.
	Close() error
}
