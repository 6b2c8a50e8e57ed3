package delivery

import (
	"sync/atomic"
	"time"
)

// slot is what a job that was claimed holds until it has ended. What its destination is measured by counts from when the
// request is sent, not from when the job got its slot: what lies between is this process's
// own time, which a slow database can make long. The job's goroutine writes it and the
// worker's loop reads it.
type slot struct {
	ready atomic.Int64 // when it began to wait for its destination's limit
	sent  atomic.Int64
	ended atomic.Int64 // when the answer was there, or there was none
}

func note(at *atomic.Int64, now time.Time) { at.CompareAndSwap(0, now.UnixNano()) }

// waiting reports whether it is held and nothing is sent yet.
func (r *slot) waiting() bool { return r.sent.Load() == 0 && r.ended.Load() == 0 }

// underWay is for how long after since the request has been under way.
func (r *slot) underWay(since, now time.Time) time.Duration {
	sent, ended := r.sent.Load(), r.ended.Load()
	if sent == 0 {
		return 0
	}
	until := now.UnixNano()
	if ended != 0 {
		until = ended
	}
	return time.Duration(max(0, until-max(sent, since.UnixNano())))
}
