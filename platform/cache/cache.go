// Package cache is the fast path: Redis, or the process's memory for the embedded default.
// Both drivers pass one conformance suite.
//
// Everything here may fail, be slow, or be lost. Only speed may depend on it: an error
// means "ask the database". Calls take many items and need one round trip.
package cache

import (
	"context"
	"errors"
	"time"
)

// ErrDown says that the cache cannot be used now. Every error of a driver is an ErrDown,
// unless the caller's own context was cancelled first.
var ErrDown = errors.New("the cache is down")

// Claim requests a key that nobody has claimed yet.
type Claim struct {
	Key   string
	Value string
	TTL   time.Duration
}

// Claimed is the result of a Claim: Won, or the existing value.
type Claimed struct {
	Won   bool
	Value string
}

// Item is a value with a lifetime.
type Item struct {
	Key   string
	Value string
	TTL   time.Duration
}

// Count records one occurrence in a window that starts with the first.
type Count struct {
	Key    string
	Window time.Duration
}

// Counted is the number of occurrences so far, including this one, and the remaining time
// of the window.
type Counted struct {
	N     int64
	Reset time.Duration
}

// Cache stores short-lived values. The constructor's prefix, the installation's id,
// separates two installations on one server.
type Cache interface {
	// Claim sets each key that is absent (SET NX GET with an expiry).
	Claim(ctx context.Context, claims []Claim) ([]Claimed, error)
	// Set overwrites.
	Set(ctx context.Context, items []Item) error
	// Release deletes each key that still holds the value it was claimed with.
	Release(ctx context.Context, items []Claim) error
	// Count adds one to each key.
	Count(ctx context.Context, counts []Count) ([]Counted, error)
	// Acquire releases and requests slots under limits.
	Acquire(ctx context.Context, list []Acquisition) ([]Acquired, error)
	// Ping returns nil if the cache can be used.
	Ping(ctx context.Context) error
	// Close ends the connections.
	Close() error
}
