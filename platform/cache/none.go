package cache

import "context"

// None is used if no cache is configured: every call returns ErrDown, as during an outage,
// but Ping returns nil, since nothing that was configured is missing.
type None struct{}

var _ Cache = None{}

// Claim returns ErrDown.
func (None) Claim(context.Context, []Claim) ([]Claimed, error) { return nil, ErrDown }

// Set returns ErrDown.
func (None) Set(context.Context, []Item) error { return ErrDown }

// Release returns ErrDown.
func (None) Release(context.Context, []Claim) error { return ErrDown }

// Count returns ErrDown.
func (None) Count(context.Context, []Count) ([]Counted, error) { return nil, ErrDown }

// Acquire returns ErrDown.
func (None) Acquire(context.Context, []Acquisition) ([]Acquired, error) { return nil, ErrDown }

// Ping returns nil.
func (None) Ping(context.Context) error { return nil }

// Close has nothing to close.
func (None) Close() error { return nil }
