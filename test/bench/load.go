package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"integration-gateway/platform/clock"
)

// responseTimeout is the timeout of responses at the end of a phase.
const responseTimeout = 30 * time.Second

// sender sends webhooks over one persistent connection.
type sender interface {
	// setDeadline limits the following calls.
	setDeadline(deadline time.Time)
	// send sends webhook number n and returns the response's status. After an error the
	// next call uses a new connection.
	send(n int) (status int, err error)
	close()
}

// load sends webhooks over persistent connections.
type load struct {
	ledger   *ledger
	senders  []sender
	rate     int // a second; 0 is a closed loop
	mu       sync.Mutex
	problems map[string]int
}

func newLoad(l *ledger, addr string, w workload) (*load, error) {
	t, err := newTemplate(addr, l.mark, w.payload, w.sources)
	if err != nil {
		return nil, err
	}
	made := &load{ledger: l, rate: w.rate, problems: map[string]int{}}
	if w.sender == standard {
		made.senders = newStandardSenders(t, w.concurrency)
		return made, nil
	}
	for range w.concurrency {
		made.senders = append(made.senders, newLeanSender(t))
	}
	return made, nil
}

// run sends for the given time, waits for all responses, and returns the moments between
// which it sent.
func (l *load) run(ctx context.Context, lasts time.Duration) (from, to time.Time) {
	from = clock.System()
	end := from.Add(lasts)
	first := l.ledger.next.Load()
	var all sync.WaitGroup
	for _, c := range l.senders {
		all.Go(func() { l.send(ctx, c, from, end, first) })
	}
	all.Wait()
	return from, clock.System()
}

func (l *load) close() {
	for _, c := range l.senders {
		c.close()
	}
}

func (l *load) send(ctx context.Context, c sender, from, end time.Time, first int64) {
	c.setDeadline(end.Add(responseTimeout))
	for ctx.Err() == nil {
		now := clock.System()
		if l.rate == 0 && !now.Before(end) {
			return
		}
		n := l.ledger.next.Add(1) - 1
		due := now
		if l.rate > 0 {
			due = from.Add(time.Duration(n-first) * time.Second / time.Duration(l.rate))
		}
		if !due.Before(end) || n >= int64(len(l.ledger.records)) {
			return
		}
		if early := due.Sub(now); early > 0 {
			<-time.After(early)
		}
		r := &l.ledger.records[n]
		status, err := c.send(int(n))
		r.due, r.answered, r.status = due.UnixMicro(), clock.System().UnixMicro(), status
		if err != nil {
			l.problem(err.Error())
			<-time.After(50 * time.Millisecond) // the server may be down
		} else if !r.accepted() {
			l.problem(fmt.Sprintf("answered %d", status))
		}
	}
}

func (l *load) problem(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problems[text]++
}
