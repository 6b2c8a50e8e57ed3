// Package doctor examines an installation and says of each thing whether it is well, and
// otherwise what to do. It changes nothing. What it examines is handed to it: judgements are
// functions of what was seen.
package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Status is the judgement of a finding.
type Status string

// The statuses.
const (
	OK   Status = "ok"
	Warn Status = "warn" // it works, and should be changed
	Fail Status = "fail"
)

// Finding is what was found about one thing.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Text   string `json:"text"`
	Fix    string `json:"fix"` // what to do; "" where nothing is
	// Unavailable says that a server did not answer.
	Unavailable bool `json:"unavailable"`
}

func ok(format string, args ...any) Finding {
	return Finding{Status: OK, Text: fmt.Sprintf(format, args...)}
}

func warn(fix, format string, args ...any) Finding {
	return Finding{Status: Warn, Fix: fix, Text: fmt.Sprintf(format, args...)}
}

func fail(fix, format string, args ...any) Finding {
	return Finding{Status: Fail, Fix: fix, Text: fmt.Sprintf(format, args...)}
}

// away is the finding about a server that does not answer.
func away(fix, format string, args ...any) Finding {
	f := fail(fix, format, args...)
	f.Unavailable = true
	return f
}

// Check examines one thing.
type Check struct {
	Name string
	Run  func(ctx context.Context) []Finding
}

// Run runs all checks at once, each for the time that timeout gives it, and returns their
// findings in the order of the checks. A check that does not end in time is left behind.
func Run(ctx context.Context, timeout time.Duration, checks []Check) []Finding {
	found := make([][]Finding, len(checks))
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() { found[i] = c.within(ctx, timeout) })
	}
	all.Wait()
	var list []Finding
	for i, c := range checks {
		for _, f := range found[i] {
			f.Check = c.Name
			list = append(list, f)
		}
	}
	return list
}

func (c Check) within(ctx context.Context, timeout time.Duration) []Finding {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := make(chan []Finding, 1)
	go func() { done <- c.Run(ctx) }()
	select {
	case found := <-done:
		return found
	case <-ctx.Done():
		select {
		case found := <-done: // it says more
			return found
		default:
			return []Finding{away("look at its server and at the network, or give it more time with --timeout", "no result within %s", timeout)}
		}
	}
}

// Worst returns the worst status, and whether a server did not answer.
func Worst(all []Finding) (worst Status, unavailable bool) {
	worst = OK
	for _, f := range all {
		if f.Status == Fail || f.Status == Warn && worst == OK {
			worst = f.Status
		}
		unavailable = unavailable || f.Unavailable
	}
	return worst, unavailable
}
