package cache

import "context"

// None stands where no cache is configured: every call answers ErrDown, as it would
// during an outage, and Ping nil, since nothing is missing that anybody asked for.
type None struct{}

var _ Cache = None{}

// Claim answers ErrDown.
func (None) Claim(context.Context, []Claim) ([]Claimed, error) { return nil, ErrDown }

// Set answers ErrDown.
func (None) Set(context.Context, []Item) error { return ErrDown }

// Release answers ErrDown.
func (None) Release(context.Context, []Claim) error { return ErrDown }

// Count answers ErrDown.
func (None) Count(context.Context, []Count) ([]Counted, error) { return nil, ErrDown }

// Ping answers nil.
func (None) Ping(context.Context) error { return nil }

// Close has nothing to close.
func (None) Close() error { return nil }
