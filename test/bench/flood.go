package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"integration-gateway/platform/clock"
)

const (
	floodSenders   = 16
	floodAddresses = 20_000 // client addresses of the half that comes from many
)

// flood sends webhooks with an invalid signature at its own rate until it is stopped: every
// second one as if from one client address, the others from many.
type flood struct {
	template
	rate     int
	next     atomic.Int64
	mu       sync.Mutex
	statuses map[int]int
	failed   map[string]int
}

func newFlood(addr, mark string, w workload, rate int) (*flood, error) {
	t, err := newTemplate(addr, mark, w.payload, 0) // its signature stays all zeros
	return &flood{template: t, rate: rate, statuses: map[int]int{}, failed: map[string]int{}}, err
}

// start sends until stop is called, which waits for the outstanding responses.
func (f *flood) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	from := clock.System()
	var all sync.WaitGroup
	for range floodSenders {
		all.Go(func() { f.send(ctx, from) })
	}
	return func() {
		cancel()
		all.Wait()
	}
}

func (f *flood) send(ctx context.Context, from time.Time) {
	c := newLeanSender(f.template)
	defer c.close()
	before, after, _ := strings.Cut(string(f.text), "X-Acme-Signature")
	for ctx.Err() == nil {
		n := f.next.Add(1) - 1
		if early := from.Add(time.Duration(n) * time.Second / time.Duration(f.rate)).Sub(clock.System()); early > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(early):
			}
		}
		c.text = fmt.Appendf(c.text[:0], "%sX-Forwarded-For: %s\r\nX-Acme-Signature%s", before, floodAddress(n), after)
		c.setDeadline(clock.System().Add(responseTimeout))
		status, err := c.exchange()
		f.note(status, err)
	}
}

// floodAddress is the client address that a proxy reports (198.18.0.0/15, RFC 2544).
func floodAddress(n int64) string {
	if n%2 == 0 {
		return "198.18.0.1"
	}
	host := n / 2 % floodAddresses
	return fmt.Sprintf("198.19.%d.%d", host/256, host%256)
}

func (f *flood) note(status int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.failed[err.Error()]++
		return
	}
	f.statuses[status]++
}

// answers requires that all responses are refusals, and returns their counts.
func (f *flood) answers() (map[string]map[string]int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := map[string]int{}
	for status, count := range f.statuses {
		if status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
			return nil, fmt.Errorf("%d requests with a bad signature were answered %d", count, status)
		}
		list[strconv.Itoa(status)] = count
	}
	for text, count := range f.failed {
		return nil, fmt.Errorf("%d requests with a bad signature got no response: %s", count, text)
	}
	return map[string]map[string]int{"bad signatures": list}, nil
}
