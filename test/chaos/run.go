package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/test/rig"
)

const managementKey = "chaos-management-key-5f0c2b7e"

// run is one scenario in progress.
type run struct {
	*suite
	scenario
	program          string // that processes start and commands run; the suite's gateway, but for upgrades
	dir              string
	database         string
	nodes            *cluster // the scenario's own PostgreSQL; nil if it uses the suite's
	rabbitNodes      *rabbits // the scenario's own RabbitMQ; nil if it uses the suite's
	edge             *edge    // the proxy between senders and serve; nil for none
	reserved         []int    // the ports of serve processes behind it
	kills            []time.Time
	sender           *sender
	ledger           *ledger
	behaviour        *behaviour // nil if every delivery is ordinary
	supervisor       *supervisor
	serving, working []*process
	peak             int64 // peak memory of the first serve process, in bytes
	base             int   // events that existed before

	mu          sync.Mutex
	beganAt     time.Time
	recoveredAt time.Time
	stoppedAt   time.Time
	faults      []string // missed bars found so far
}

// faultBegan records the beginning of the fault; only the first call counts.
func (r *run) faultBegan() { r.faultBeganAt(clock.System()) }

func (r *run) faultBeganAt(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.beganAt.IsZero() {
		r.beganAt = at
	}
}

// faultEnded records that the failed part is back; the last call counts.
func (r *run) faultEnded() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recoveredAt = clock.System()
}

func (r *run) fault(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// execute runs the scenario from the first process to the final checks.
func (r *run) execute(ctx context.Context) (err error) {
	if r.callback != nil {
		r.behaviour = r.callback()
		r.behaviour.seen = map[string]time.Time{}
	}
	r.receiver.serve(r.name, r.ledger, r.behaviour, r.processingTime)
	if err := os.MkdirAll(r.dir, 0o711); err != nil { //nolint:gosec // below a folder of our own
		return fmt.Errorf("create the scenario's folder: %w", err)
	}
	defer func() { err = errors.Join(err, r.shutdown(context.WithoutCancel(ctx))) }()
	if err := r.start(ctx); err != nil {
		return err
	}
	if err := r.sendThroughFault(ctx); err != nil {
		return err
	}
	if err := r.waitForEvents(ctx); err != nil {
		return err
	}
	r.peak = rig.PeakMemory(r.serving[0].pid())
	if r.check != nil {
		r.check(r)
	}
	return r.checkRecords(ctx)
}

// sendThroughFault sends webhooks and injects the fault in the middle.
func (r *run) sendThroughFault(ctx context.Context) error {
	r.sender = newSender(r.ledger, r.name, r.targets(), r.source)
	r.sender.once, r.ledger.aliases = r.once, r.aliases
	sending, stop := context.WithCancel(ctx)
	sent := make(chan struct{})
	go func() { defer close(sent); r.sender.send(sending) }()
	watched := r.progress(sending)
	err := func() error {
		if err := sustain(ctx, calm); err != nil {
			return err
		}
		if err := r.inject(ctx, r); err != nil {
			return fmt.Errorf("inject the fault: %w", err)
		}
		return sustain(ctx, recovery)
	}()
	stop()
	<-sent
	<-watched
	r.mu.Lock()
	r.stoppedAt = clock.System()
	r.mu.Unlock()
	if err != nil {
		return err
	}
	return r.sender.wait(ctx)
}

// progress prints the progress every two seconds.
func (r *run) progress(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sustain(ctx, 2*time.Second) == nil {
			t := r.ledger.tally(time.Time{}, time.Time{})
			r.mu.Lock()
			phase := "calm"
			switch {
			case !r.recoveredAt.IsZero() && r.recoveredAt.After(r.beganAt):
				phase = "after the fault"
			case !r.beganAt.IsZero():
				phase = "DURING THE FAULT"
			}
			r.mu.Unlock()
			r.say("    sent %d, accepted %d, delivered %d, in flight %d  %s", t.sent, t.accepted, t.delivered, len(t.lost), phase)
		}
	}()
	return done
}

// waitForEvents waits until every accepted event was delivered, or refused for good.
func (r *run) waitForEvents(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, endedAfter)
	defer cancel()
	err := until(bounded, 100*time.Millisecond, func() bool {
		return len(r.ledger.tally(time.Time{}, time.Time{}).lost) == 0
	})
	if err != nil && ctx.Err() == nil {
		return nil // the result reports what is lost
	}
	return err
}

// start starts the scenario's gateway.
func (r *run) start(ctx context.Context) error {
	if r.embedded {
		return r.startEmbedded(ctx)
	}
	if err := r.createDatabase(ctx); err != nil {
		return err
	}
	if r.prepare != nil {
		if err := r.prepare(ctx, r); err != nil {
			return err
		}
	}
	if _, err := r.command(ctx, nil, "migrate", "up"); err != nil {
		return err
	}
	if _, err := r.command(ctx, nil, "seed", "--callback-base", r.receiver.url); err != nil {
		return err
	}
	if r.setUp != nil {
		if err := r.setUp(ctx, r); err != nil {
			return err
		}
	}
	if err := r.startProxy(ctx); err != nil {
		return err
	}
	for i := range max(r.serves, 1) {
		if err := r.launchServe(i); err != nil {
			return err
		}
	}
	for i := range max(r.works, 1) {
		if err := r.launchWork(i); err != nil {
			return err
		}
	}
	return r.started(ctx)
}

func (r *run) launchServe(i int) error { return r.launch("serve", i, []string{"serve"}, "APP_PORT") }

func (r *run) launchWork(i int) error {
	return r.launch("work", i, []string{"work", "--queues=process,replay"}, "WORK_HTTP_ADDR")
}

func (r *run) startEmbedded(ctx context.Context) error {
	args := []string{"dev", "--data", filepath.Join(r.dir, "data"), "--callback-base", r.receiver.url}
	if err := r.launch("dev", 0, args, "APP_PORT"); err != nil {
		return err
	}
	r.working = r.serving
	return r.started(ctx)
}

func (r *run) launch(kind string, i int, args []string, listens string) error {
	port := r.portOf(kind, i)
	address := fmt.Sprint(port)
	if listens == "WORK_HTTP_ADDR" {
		address = "127.0.0.1:" + address
	}
	p := &process{name: fmt.Sprintf("%s-%d", kind, i+1), binary: r.program, args: args, dir: r.dir,
		env: append(r.gatewayEnv(), listens+"="+address), url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	if i == 0 && (r.failpoint.kind == kind || kind == "dev") {
		p.failpoint, p.onHold = r.failpoint.point, r.failpoint.stays
	}
	if r.each != nil {
		p.env = append(p.env, r.each(kind, i)...)
	}
	if kind == "work" {
		r.working = append(r.working, p)
	} else {
		r.serving = append(r.serving, p)
	}
	return r.supervisor.start(p)
}

func (r *run) started(ctx context.Context) error {
	var errs []error
	for _, p := range append(r.serving[:len(r.serving):len(r.serving)], r.working...) {
		errs = append(errs, p.ready(ctx, "/readyz"))
	}
	if r.edge != nil {
		through := process{name: r.behind, url: r.edge.url() + "/api/v1"}
		errs = append(errs, through.ready(ctx, "/readyz"))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return until(ctx, 100*time.Millisecond, func() bool {
		n, err := r.total(ctx, "status=processed")
		if err != nil || n == 0 {
			return false
		}
		r.base, err = r.total(ctx, "")
		return err == nil
	})
}
