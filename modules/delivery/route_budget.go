package delivery

import (
	"context"
	"sync"
	"time"

	"integration-gateway/platform/clock"
)

// The CPU budget of one source's filters and transformations in this process, in cost units
// of the expression language; a million units take about 50 ms. It is a quarter of the
// processors, with a burst of two seconds.
const (
	shareOfTwoProcessors = 10_000_000 // a second
	shareSeconds         = 2
)

// maxShares bounds the budgets that are kept in memory.
const maxShares = 10_000

// longEvaluation is the duration from which an evaluation is charged by time and not by cost.
// unitsInTime is the cost that usually takes a second.
const (
	longEvaluation = 100 * time.Millisecond
	unitsInTime    = 20_000_000
)

// shares bounds the CPU cost of each source's expressions, so that no source starves the
// others. It counts cost and not time, so that a busy machine changes no answer, except for
// evaluations that take so long that their cost must be wrong.
type shares struct {
	now       clock.Now
	perSecond float64
	most      float64

	mu sync.Mutex
	of map[string]*timeShare
}

type timeShare struct {
	left   float64
	at     time.Time // of left
	toldAt time.Time // when an empty budget was last logged
}

func newShares(now clock.Now, processors int) *shares {
	perSecond := float64(shareOfTwoProcessors * max(1, processors/2))
	return &shares{now: now, perSecond: perSecond, most: perSecond * shareSeconds, of: map[string]*timeShare{}}
}

// take reserves the maximum cost of an evaluation, or returns false if the budget is too low.
func (s *shares) take(source string, most uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.refilled(source)
	if one.left < float64(most) {
		return false
	}
	one.left -= float64(most)
	return true
}

// settle replaces a reservation by the actual cost.
func (s *shares) settle(source string, taken, spent uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.refilled(source)
	one.left = min(s.most, one.left+float64(taken)-float64(spent))
}

// spent returns the charge for an evaluation with this cost that began at that time.
func (s *shares) spent(cost uint64, began time.Time) uint64 {
	if took := s.now.Since(began); took > longEvaluation {
		return max(cost, uint64(took.Seconds()*unitsInTime))
	}
	return cost
}

// wait waits until take succeeds. Its error is ctx's.
func (s *shares) wait(ctx context.Context, source string, most uint64) error {
	for !s.take(source, most) {
		missing := time.Duration(float64(most) / s.perSecond * float64(time.Second))
		timer := time.NewTimer(max(missing, time.Millisecond))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
	return nil
}

// tellEvery is how often an exhausted budget is logged.
const tellEvery = time.Minute

// tells reports whether to log that a source's budget is exhausted.
func (s *shares) tells(source string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.refilled(source)
	if one.at.Sub(one.toldAt) < tellEvery {
		return false
	}
	one.toldAt = one.at
	return true
}

// refilled returns a source's budget as of now.
func (s *shares) refilled(source string) *timeShare {
	now := s.now()
	one := s.of[source]
	if one == nil {
		if len(s.of) >= maxShares {
			s.forgetFull(now)
		}
		one = &timeShare{left: s.most, at: now}
		s.of[source] = one
		return one
	}
	if passed := now.Sub(one.at); passed > 0 {
		one.left = min(s.most, one.left+passed.Seconds()*s.perSecond)
	}
	one.at = now
	return one
}

// forgetFull removes budgets that are full again because they were not used recently.
func (s *shares) forgetFull(now time.Time) {
	for source, one := range s.of {
		if now.Sub(one.at) > shareSeconds*time.Second && now.Sub(one.toldAt) > tellEvery {
			delete(s.of, source)
		}
	}
}
