package main

import (
	"context"
	"slices"
	"time"
)

// scenario is one fault and what must hold when it strikes.
type scenario struct {
	name  string
	about string
	short bool // part of --short

	embedded      bool // `gateway dev` instead of processes on servers
	serves, works int  // processes of each; 0 for 1
	proxied       bool // the servers are reached through the proxies
	env           []string
	arm           arming // a failpoint for the first process of a kind

	// prepare runs on the empty database, before it is migrated.
	prepare func(context.Context, *run) error
	// furnish runs on the seeded database, before the gateway's processes start.
	furnish func(context.Context, *run) error
	// source names where the webhook of a number is sent; nil sends all to acme.
	source func(n int64) string
	// inject breaks something and mends it: it calls r.away when the fault begins and
	// r.back as soon as what failed answers again.
	inject func(context.Context, *run) error
	// callback treats some deliveries in a way of its own; nil takes them all.
	callback func() *behaviour

	repeats bool          // what was in flight at the fault may be delivered twice
	accepts bool          // webhooks are accepted while it lasts
	refuses bool          // webhooks are answered 503 with Retry-After while it lasts
	silence time.Duration // the bar, where it is another than flowsAgain
	memory  int64         // bytes that a serve may have had in memory at most; 0 for no bar
	late    bool          // what it destroyed comes back later: silence counts only while webhooks are sent
}

// arming is a failpoint and the kind of process that it is set in.
type arming struct {
	kind  string // serve or work
	point string // the value of GATEWAY_FAILPOINT
}

// The bars.
const (
	flowsAgain   = 5 * time.Second  // from the server's return to the next delivery, and between deliveries after it
	longestWait  = 60 * time.Second // from an event's acceptance, or the return where that was later, to its delivery
	refusedAfter = 15 * time.Second // an answer of 503 while the database is away
	endedAfter   = 90 * time.Second // from the last webhook to the end of every event
	acceptedPart = 0.9              // of what was sent while RabbitMQ or Redis was away
)

// The course of a scenario.
const (
	rate     = 100 // webhooks a second
	calm     = 3 * time.Second
	recovery = 7 * time.Second // webhooks go on for so long after the return
)

func catalog() []scenario {
	return slices.Concat(processScenarios(), rabbitmqScenarios(), postgresScenarios(), redisScenarios(),
		networkScenarios(), isolationScenarios(), callbackScenarios(false), embeddedScenarios(), callbackScenarios(true))
}

// lasting keeps a fault up for d.
func lasting(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// until asks again and again until the answer is yes or ctx ends.
func until(ctx context.Context, every time.Duration, done func() bool) error {
	for !done() {
		if err := lasting(ctx, every); err != nil {
			return err
		}
	}
	return nil
}
