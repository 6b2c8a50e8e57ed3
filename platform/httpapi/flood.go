package httpapi

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// linesPerSecond is how many requests that failed for one reason are logged one by one in a
// second; the others are logged together, as one line a second.
const linesPerSecond = 10

// floods bounds the log lines of requests that were refused, or could not be answered while a
// dependency was down, so that a flood fills no disk and hides nothing else.
type floods struct {
	log   *slog.Logger
	after func(d time.Duration, f func()) // calls f once, later; for tests

	mu sync.Mutex
	by map[string]*flood // by reason, of which there is a fixed number
}

// flood is a second of requests that failed for one reason.
type flood struct {
	level   slog.Level // of that reason's lines
	lines   int
	held    int    // not logged yet
	source  string // of those, if it is one
	several bool
}

func newFloods(log *slog.Logger) *floods {
	return &floods{log: log, by: map[string]*flood{}, after: func(d time.Duration, f func()) { time.AfterFunc(d, f) }}
}

// admits reports whether a failed request gets a line of its own; otherwise it is counted.
// source is the noted one, "" if there is none.
func (f *floods) admits(level slog.Level, reason, source string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.by[reason]
	if s == nil {
		s = &flood{level: level}
		f.by[reason] = s
		f.after(time.Second, func() { f.end(reason) })
	}
	if s.lines < linesPerSecond {
		s.lines++
		return true
	}
	s.several = s.several || s.held > 0 && s.source != source
	s.source = source
	s.held++
	return false
}

// end logs what was held back within the second.
func (f *floods) end(reason string) {
	f.mu.Lock()
	s := f.by[reason]
	delete(f.by, reason)
	f.mu.Unlock()
	if s == nil || s.held == 0 { // nil: endAll was faster
		return
	}
	attrs := []any{"reason", reason, "requests", s.held}
	switch {
	case s.several:
		attrs = append(attrs, "source", "(several)")
	case s.source != "":
		attrs = append(attrs, "source", s.source)
	}
	text := "more requests were refused within a second"
	if s.level > slog.LevelInfo {
		text = "more requests could not be answered within a second"
	}
	f.log.Log(context.Background(), s.level, text, attrs...)
}

// endAll logs what is held back when the process stops.
func (f *floods) endAll() {
	f.mu.Lock()
	reasons := slices.Sorted(maps.Keys(f.by))
	f.mu.Unlock()
	for _, reason := range reasons {
		f.end(reason)
	}
}
