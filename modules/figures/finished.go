package figures

import (
	"strings"
	"sync"
	"time"

	"integration-gateway/platform/httpapi"
)

// maxFinished bounds the points that are kept, about a kilobyte each.
const maxFinished = 4096

// pointKey is a point of a series: of which sources or destination, from when, and how long.
type pointKey struct {
	of   string
	at   time.Time
	step time.Duration
}

// finishedPoint is a point with the time at which it was read.
type finishedPoint struct {
	Point
	read time.Time
}

// finished are points whose hours are over and merged. They are used again for hoursFreshFor, since
// a week of hours takes longer to sum than a page may. Its zero value is ready for use.
type finished struct {
	mu     sync.Mutex
	points map[pointKey]finishedPoint
}

// ofWhom names what a series is of.
func ofWhom(scope *httpapi.Scope, destination string) string {
	if scope == nil {
		return "\n" + destination
	}
	return strings.Join(scope.Sources, ",") + "\n" + destination
}

// first returns the points that are known of a period's beginning, without a gap.
func (f *finished) first(of string, p period, now time.Time) []Point {
	f.mu.Lock()
	defer f.mu.Unlock()
	var known []Point
	for at := p.from; at.Before(p.to); at = at.Add(p.step) {
		found, is := f.points[pointKey{of, at.UTC(), p.step}]
		if age := now.Sub(found.read); !is || age < 0 || age >= hoursFreshFor {
			break
		}
		known = append(known, found.Point)
	}
	return known
}

// keep adds points that were read now and whose hours have ended by merged.
func (f *finished) keep(of string, step time.Duration, points []Point, merged, now time.Time) {
	if step < time.Hour {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.points == nil || len(f.points)+len(points) > maxFinished {
		f.points = map[pointKey]finishedPoint{}
	}
	for _, p := range points {
		if !p.At.Add(step).After(merged) {
			f.points[pointKey{of, p.At.UTC(), step}] = finishedPoint{p, now}
		}
	}
}
