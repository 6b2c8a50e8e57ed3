// Package clock provides the time of day. No other package calls time.Now for a time that
// is stored, compared or shown.
package clock

import "time"

// Now returns the current time.
type Now func() time.Time

// System is the machine's clock, in UTC and truncated to microseconds, PostgreSQL's
// precision, so that a time read back equals the time written.
func System() time.Time { return time.Now().Add(shift()).UTC().Truncate(time.Microsecond) }

// Since returns the time that passed from t to now.
func (now Now) Since(t time.Time) time.Duration { return now().Sub(t) }
