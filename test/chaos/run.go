package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/test/rig"
)

const managementKey = "chaos-management-key-5f0c2b7e"

// run is one scenario on its way.
type run struct {
	*suite
	scenario
	dir              string
	database         string
	ledger           *ledger
	treatment        *behaviour // nil when every delivery is an ordinary one
	supervisor       *supervisor
	serving, working []*process
	peak             int64 // bytes that the first serve had in memory at most
	base             int   // events that were there before

	mu        sync.Mutex
	awayAt    time.Time
	backAt    time.Time
	stoppedAt time.Time
	faults    []string // what contradicts the bars, as it is found
}

// away notes that the fault begins; only the first call counts.
func (r *run) away() { r.awayFrom(clock.System()) }

func (r *run) awayFrom(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.awayAt.IsZero() {
		r.awayAt = at
	}
}

// back notes that what failed answers again; the last call counts.
func (r *run) back() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.backAt = clock.System()
}

func (r *run) fault(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// play runs the scenario from the first process to the last book.
func (r *run) play(ctx context.Context) error {
	if r.callback != nil {
		r.treatment = r.callback()
		r.treatment.treated = map[string]time.Time{}
	}
	r.receiver.serve(r.name, r.ledger, r.treatment)
	if err := os.MkdirAll(r.dir, 0o711); err != nil { //nolint:gosec // below a folder of our own
		return fmt.Errorf("the scenario's folder: %w", err)
	}
	defer func() { _ = r.supervisor.stop(context.WithoutCancel(ctx)) }()
	if err := r.start(ctx); err != nil {
		return err
	}
	if err := r.storm(ctx); err != nil {
		return err
	}
	if err := r.ended(ctx); err != nil {
		return err
	}
	r.peak = rig.PeakMemory(r.serving[0].pid())
	return r.audit(ctx)
}

// storm sends webhooks and injects the fault in the middle.
func (r *run) storm(ctx context.Context) error {
	targets := make([]string, len(r.serving))
	for i, p := range r.serving {
		targets[i] = p.url
	}
	s := newSender(r.ledger, r.name, targets, r.source)
	sending, stop := context.WithCancel(ctx)
	sent := make(chan struct{})
	go func() { defer close(sent); s.send(sending) }()
	watched := r.progress(sending)
	err := func() error {
		if err := lasting(ctx, calm); err != nil {
			return err
		}
		if err := r.inject(ctx, r); err != nil {
			return fmt.Errorf("inject the fault: %w", err)
		}
		return lasting(ctx, recovery)
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
	return s.settled(ctx)
}

// progress tells how it goes, every two seconds.
func (r *run) progress(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lasting(ctx, 2*time.Second) == nil {
			t := r.ledger.sum(time.Time{}, time.Time{})
			r.mu.Lock()
			phase := "calm"
			switch {
			case !r.backAt.IsZero() && r.backAt.After(r.awayAt):
				phase = "after the fault"
			case !r.awayAt.IsZero():
				phase = "DURING THE FAULT"
			}
			r.mu.Unlock()
			r.say("    sent %d, accepted %d, delivered %d, on their way %d  %s", t.sent, t.accepted, t.delivered, len(t.lost), phase)
		}
	}()
	return done
}

// ended waits until every accepted event was delivered, or refused for good.
func (r *run) ended(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, endedAfter)
	defer cancel()
	err := until(bounded, 100*time.Millisecond, func() bool {
		return len(r.ledger.sum(time.Time{}, time.Time{}).lost) == 0
	})
	if err != nil && ctx.Err() == nil {
		return nil // the result says what is lost
	}
	return err
}

// gatewayEnv is the whole environment of the gateway's processes.
func (r *run) gatewayEnv() []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "TMPDIR=" + r.dir,
		"APP_ENV=test", "APP_HOST=127.0.0.1", "LOG_FORMAT=text", "LOG_LEVEL=info",
		"MANAGEMENT_API_KEY=" + managementKey, "SECRETS_KEY=chaos-suite-key-of-more-than-32-characters",
		"WEBHOOK_RATE_LIMIT_PER_MINUTE=0", "WEBHOOK_FAILURE_LIMIT_PER_MINUTE=0",
		"DELIVERY_TIMEOUT_MS=2000", "DELIVERY_LEASE_MARGIN_MS=3000", "PROCESSING_LOCK_TTL_SECONDS=10",
		"RETRY_BASE_DELAY_MS=200", "RETRY_MAX_DELAY_MS=3000", "MAX_PROCESSING_RETRIES=30", "SHUTDOWN_GRACE_SECONDS=15",
	}
	if !r.embedded {
		urls := map[string]string{redis: r.servers.urls[redis], rabbitmq: r.servers.urls[rabbitmq]}
		urls[postgres], _ = r.servers.database(r.database)
		if r.proxied {
			for server, direct := range urls {
				urls[server] = r.proxies.through(server, direct)
			}
		}
		env = append(env, "DATABASE_URL="+urls[postgres], "REDIS_URL="+urls[redis], "RABBITMQ_URL="+urls[rabbitmq],
			"RABBITMQ_PROCESS_QUEUE="+r.name+".process", "RABBITMQ_RETRY_QUEUE="+r.name+".retry",
			"RABBITMQ_REPLAY_QUEUE="+r.name+".replay", "RABBITMQ_DEAD_QUEUE="+r.name+".dead")
	}
	return append(env, r.env...)
}

// command runs the gateway once, to its end.
func (r *run) command(ctx context.Context, extra []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, r.gateway, args...) //nolint:gosec // our own
	cmd.Dir, cmd.Env = r.dir, append(r.gatewayEnv(), extra...)
	out, err := cmd.CombinedOutput()
	_ = os.WriteFile(filepath.Join(r.dir, args[0]+".log"), out, 0o600)
	if err != nil {
		return string(out), fmt.Errorf("gateway %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// start brings the scenario's gateway up.
func (r *run) start(ctx context.Context) error {
	if r.embedded {
		return r.startEmbedded(ctx)
	}
	r.database = "chaos_" + strings.ReplaceAll(r.name, "-", "_")
	if _, err := r.servers.sql(ctx, "postgres", "CREATE DATABASE "+r.database); err != nil {
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
	if r.furnish != nil {
		if err := r.furnish(ctx, r); err != nil {
			return err
		}
	}
	for i := range max(r.serves, 1) {
		if err := r.launch("serve", i, []string{"serve"}, "APP_PORT"); err != nil {
			return err
		}
	}
	for i := range max(r.works, 1) {
		if err := r.launch("work", i, []string{"work", "--queues=process,replay"}, "WORK_HTTP_ADDR"); err != nil {
			return err
		}
	}
	return r.started(ctx)
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
	port := r.ports.next()
	address := fmt.Sprint(port)
	if listens == "WORK_HTTP_ADDR" {
		address = "127.0.0.1:" + address
	}
	p := &process{name: fmt.Sprintf("%s-%d", kind, i+1), binary: r.gateway, args: args, dir: r.dir,
		env: append(r.gatewayEnv(), listens+"="+address), url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	if i == 0 && (r.arm.kind == kind || kind == "dev") {
		p.armed = r.arm.point
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
