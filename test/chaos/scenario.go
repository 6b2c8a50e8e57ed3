package main

import (
	"context"
	"slices"
	"time"
)

// scenario is one fault and what must hold during and after it.
type scenario struct {
	name  string
	about string
	short bool // part of --short

	embedded      bool           // `gateway dev` instead of processes on servers
	serves, works int            // processes of each kind; 0 for 1
	rabbits       bool           // its own RabbitMQ cluster of three nodes
	behind        string         // the proxy in front of serve: nginx or haproxy; "" for none
	room          int            // serve processes that the proxy has room for; 0 for serves
	proxied       bool           // the gateway connects to the servers through the proxies
	cluster       *clusterConfig // its own PostgreSQL
	env           []string
	failpoint     failpointConfig // a failpoint for the first process of a kind
	upgrades      bool            // it starts as the oldest program, on its schema
	// each returns additional environment variables for one process; i counts from 0.
	each func(kind string, i int) []string

	// prepare runs on the empty database, before it is migrated.
	prepare func(context.Context, *run) error
	// setUp runs on the seeded database, before the gateway's processes start.
	setUp func(context.Context, *run) error
	// source names the source for the webhook of a number; nil sends all to acme.
	source func(n int64) string
	// inject breaks something and repairs it: it calls r.faultBegan when the fault begins
	// and r.faultEnded as soon as the failed part answers again.
	inject func(context.Context, *run) error
	// callback responds to some deliveries in its own way; nil accepts all.
	callback func() *behaviour
	// check checks further bars, after the consistency checks.
	check func(*run)
	// processingTime is the receiver's time for an ordinary delivery to a path; nil for the
	// usual time.
	processingTime func(path string) time.Duration

	target         faultKind     // what the fault affects, which determines how long an event may wait
	maxWait        time.Duration // the bar of the longest wait, if not the usual one
	reason         string        // the reason for maxWait
	gap            gapBar        // the bar of the longest gap since the fault's beginning; nil for none
	recordedWithin time.Duration // responses so long before the fault are recorded; 0 for inFlight
	duplicates     bool          // events in flight at the fault may be delivered twice
	accepts        bool          // webhooks are accepted during the fault
	no5xx          bool          // no webhook is answered 5xx at any time
	refuses        bool          // webhooks are answered 503 with Retry-After during the fault
	silence        time.Duration // the bar of the silence, if not flowsAgain
	memory         int64         // the bar of a serve process's peak memory, in bytes; 0 for none
	rewinds        bool          // the database loses commits, and `gateway verify` reports only that
	spools         bool          // webhooks that cannot be stored go to the broker
	aliases        bool          // a webhook that is sent again may be accepted under an id that becomes an alias of the first
	once           bool          // the sender never repeats a webhook that was answered
	late           bool          // destroyed data is restored later: silence counts only while webhooks are sent
}

// failpointConfig is a failpoint and the kind of process that it is set in.
type failpointConfig struct {
	kind  string // serve or work
	point string // the value of GATEWAY_FAILPOINT
	stays bool   // the process is not restarted
}

// faultKind is what a fault affects.
type faultKind int

const (
	ofServer      faultKind = iota // a server is down, and comes back
	ofProcess                      // a process of the gateway dies or freezes; others, or its successor, continue
	ofDestination                  // a destination does not accept deliveries
	ofClock                        // clocks differ; nothing is down
)

// since names the moment from which an event's wait counts, if it was accepted earlier.
func (k faultKind) since() string {
	return [...]string{ofServer: "the server's return", ofProcess: "the process's death",
		ofDestination: "the destination's return", ofClock: "the fault's beginning"}[k]
}

// countsFromBegin reports whether an event's wait counts from the fault's beginning instead
// of its end.
func (k faultKind) countsFromBegin() bool { return k == ofProcess || k == ofClock }

// gapBar returns a bar for a fault of a duration.
type gapBar func(lasted time.Duration) time.Duration

// within is a constant bar.
func within(d time.Duration) gapBar { return func(time.Duration) time.Duration { return d } }

// beyond is a bar that counts from the fault's end.
func beyond(d time.Duration) gapBar {
	return func(lasted time.Duration) time.Duration { return lasted + d }
}

// The bars.
const (
	flowsAgain   = 5 * time.Second  // from the server's return to the next delivery, and between deliveries after it
	afterDeath   = 5 * time.Second  // from an event's acceptance, or a process's death where that was later, to its delivery
	afterReturn  = 10 * time.Second // the same from a server's or a destination's return
	refusedAfter = 15 * time.Second // a 503 response while the database is down
	endedAfter   = 90 * time.Second // from the last webhook to the end of every event
	acceptedPart = 0.9              // of the webhooks sent while RabbitMQ or Redis was down
)

// The phases of a scenario.
const (
	rate     = 100 // webhooks a second
	calm     = 3 * time.Second
	recovery = 7 * time.Second // webhooks are sent for so long after the return
)

// waitBar is how long an event may wait.
func (s scenario) waitBar() time.Duration {
	switch {
	case s.maxWait > 0:
		return s.maxWait
	case s.target == ofProcess:
		return afterDeath
	}
	return afterReturn
}

func catalog() []scenario {
	return slices.Concat(processScenarios(), upgradeScenarios(), replicaScenarios(), singletonScenarios(), replayScenarios(), takeoverScenarios(), clockScenarios(), rabbitmqScenarios(), rabbitClusterScenarios(), postgresScenarios(), spoolScenarios(),
		failoverScenarios(), historyScenarios(), redisScenarios(), refusalScenarios(), networkScenarios(),
		isolationScenarios(), limitScenarios(), callbackScenarios(false), embeddedScenarios(), callbackScenarios(true))
}

// sustain waits while a fault lasts for d.
func sustain(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// until polls until the result is true or ctx ends.
func until(ctx context.Context, every time.Duration, done func() bool) error {
	for !done() {
		if err := sustain(ctx, every); err != nil {
			return err
		}
	}
	return nil
}
