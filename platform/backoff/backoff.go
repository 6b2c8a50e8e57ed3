// Package backoff computes how long to wait before a retry.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Exponential waits Min after the first failure and twice as long after each further one,
// up to Max. Up to half of each wait is subtracted at random, so that operations that failed
// together are not retried together.
type Exponential struct{ Min, Max time.Duration }

// Wait returns the wait after failure number attempt, counting from 0, in whole milliseconds.
func (e Exponential) Wait(attempt int) time.Duration {
	return e.wait(attempt, rand.Float64()) //nolint:gosec // the jitter is no secret
}

// wait subtracts half of the wait, multiplied by jitter (0 to 1).
func (e Exponential) wait(attempt int, jitter float64) time.Duration {
	d := e.Min
	for range attempt {
		if d >= e.Max {
			break
		}
		d *= 2
	}
	d = min(d, e.Max)
	return (d - time.Duration(jitter*float64(d)/2)).Round(time.Millisecond)
}
