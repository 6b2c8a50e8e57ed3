package delivery

import (
	"net/http"
	"strconv"
	"time"

	"integration-gateway/modules/delivery/destination"
)

// policy bounds the attempts of one budget.
type policy struct {
	maxAttempts int
	base, cap   time.Duration
}

// policy is a destination's own, or the module's where it says nothing.
func (m *Module) policy(d *destination.Destination) policy {
	p := policy{maxAttempts: m.cfg.MaxAttempts}
	if d.MaxAttempts != nil {
		p.maxAttempts = *d.MaxAttempts
	}
	p.base, p.cap = d.Backoff(m.cfg.RetryBase, m.cfg.RetryCap)
	return p
}

// response is the result of one request: a status, or the error that kept it away.
type response struct {
	status     int // 0 when there was no answer
	retryAfter time.Duration
	body       string
	err        string // "" when there was an answer
	failure    string // the kind of err, as it is stored
	detail     string // of err, with addresses; for the log alone
	unsent     bool   // the request could not be made, which says nothing about the destination
	hopeless   bool   // and never can be
	duration   time.Duration
}

func (r response) received() bool { return r.status >= 200 && r.status < 300 }

// problem is the attempt's error in words; nil when it was received.
func (r response) problem() *string {
	if r.received() {
		return nil
	}
	text := r.err
	switch {
	case text != "":
	case r.status >= 300 && r.status < 400:
		text = "the destination redirects (HTTP " + strconv.Itoa(r.status) + "), and redirects are not followed"
	default:
		text = "the destination answered HTTP " + strconv.Itoa(r.status)
	}
	return &text
}

// outcome is the result of an attempt for its job.
type outcome int

const (
	delivered outcome = iota
	retry             // after a wait
	exhausted         // the budget is used up, or no use
	refused           // the destination said that it is gone
)

// String is the outcome's name in the metrics.
func (o outcome) String() string { return [...]string{"delivered", "retry", "exhausted", "refused"}[o] }

// verdict decides the outcome for a job after attempt number attempt of its budget,
// counting from 1, and the wait before the next. It is pure: chance is in [0, 1)
// and spreads the waits of events that failed together by up to a fifth.
func verdict(p policy, attempt int, r response, chance float64) (outcome, time.Duration) {
	switch {
	case r.received():
		return delivered, 0
	case r.status == http.StatusGone:
		return refused, 0
	case r.hopeless || attempt >= p.maxAttempts:
		return exhausted, 0
	}
	wait := p.cap
	if shift := attempt - 1; shift < 32 && p.base<<shift>>shift == p.base {
		wait = min(p.base<<shift, p.cap)
	}
	wait += time.Duration(chance * float64(wait) / 5)
	return retry, max(wait, min(r.retryAfter, max(p.cap, time.Hour)))
}

// retryAfter reads a Retry-After header: seconds or a date (RFC 9110, 10.2.3).
// 0 when there is none that can be read.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
