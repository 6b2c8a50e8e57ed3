// Package clock is where the time of day comes from. No other package calls
// time.Now for a time that is stored, compared or shown.
package clock

import "time"

// Now gives the present moment.
type Now func() time.Time

// System is the machine's clock, in UTC and cut to microseconds: what
// PostgreSQL keeps, so that a time read back equals the time written.
func System() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Since is the time that passed from t to now.
func (now Now) Since(t time.Time) time.Duration { return now().Sub(t) }
