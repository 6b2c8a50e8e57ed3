package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"integration-gateway/platform/failpoint"
)

func processScenarios() []scenario {
	list := []scenario{
		{name: "kill-9-serve", about: "serve is killed and started again", short: true, repeats: false,
			inject: restarting(syscall.SIGKILL, serving)},
		{name: "kill-9-work", about: "work is killed in the middle of deliveries and started again", short: true, repeats: true,
			inject: restarting(syscall.SIGKILL, working)},
		{name: "sigterm-serve", about: "serve is stopped and started again, as a deploy does",
			inject: restarting(syscall.SIGTERM, serving)},
		{name: "sigterm-work", about: "work is stopped in the middle of deliveries and started again", short: true,
			inject: restarting(syscall.SIGTERM, working)},
		{name: "rolling-restart", about: "two serve and two work are restarted one after the other", serves: 2, works: 2,
			inject: restarting(syscall.SIGTERM, serving, working)},
		{name: "freeze-work", about: "one of two work is stopped by SIGSTOP beyond its leases, and goes on", works: 2, repeats: true,
			inject: frozen(working)},
		{name: "freeze-serve", about: "one of two serve is stopped by SIGSTOP, and goes on", serves: 2,
			inject: frozen(serving)},
		{name: "freeze-in-commit", about: "one of two serve is stopped by SIGSTOP inside a transaction, and goes on", serves: 2,
			arm: arming{"serve", failpoint.BeforeCommit + "=stop@150"}, inject: thaw},
		{name: "migrate-at-once", about: "four `migrate up` on an empty database at once",
			prepare: migrateAtOnce, inject: watch},
	}
	return append(list, failpointScenarios("", false)...)
}

func embeddedScenarios() []scenario {
	list := []scenario{
		{name: "embedded-kill-9", about: "dev is killed and started again on its data folder", embedded: true, short: true, repeats: true,
			inject: restarting(syscall.SIGKILL, serving)},
		{name: "embedded-sigterm", about: "dev is stopped and started again on its data folder", embedded: true,
			inject: restarting(syscall.SIGTERM, serving)},
	}
	return append(list, failpointScenarios("embedded-", true)...)
}

// failpointScenarios kill a process at each named moment.
func failpointScenarios(prefix string, embedded bool) []scenario {
	var list []scenario
	add := func(kind, point, where string, repeats bool) {
		s := scenario{name: prefix + "kill-" + point, about: kind + " is killed " + where, embedded: embedded, repeats: repeats,
			arm: arming{kind, point + "=kill@150"}, inject: killed}
		if embedded {
			// One process does both, and dies with the deliveries that it has under way.
			s.about, s.repeats = "dev is killed "+where, true
		}
		list = append(list, s)
	}
	add("serve", failpoint.BeforeCommit, "with a group written and not committed", false)
	add("serve", failpoint.AfterCommit, "with a group committed and nobody answered", false)
	add("serve", failpoint.BeforePublish, "with jobs stored and no message for them", false)
	add("serve", failpoint.AfterPublish, "with messages published and not marked", false)
	add("work", failpoint.AfterClaim, "with jobs claimed and not sent", true)
	add("work", failpoint.AfterPost, "with a delivery answered and not recorded", true)
	add("work", failpoint.AfterRecord, "with outcomes recorded and messages not acknowledged", true)
	add("work", failpoint.BeforeAck, "before it acknowledges a message", true)
	return list
}

// serving and working pick processes of a run.
func serving(r *run) []*process { return r.serving }
func working(r *run) []*process { return r.working }

// restarting ends processes by sig, each when the one before it is back.
func restarting(sig syscall.Signal, pick ...func(*run) []*process) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		r.away()
		for _, of := range pick {
			for _, p := range of(r) {
				if err := p.restart(ctx, sig); err != nil {
					return err
				}
			}
		}
		r.back()
		return nil
	}
}

// frozen stops the first process for longer than its leases last.
func frozen(pick func(*run) []*process) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		p := pick(r)[0]
		r.away()
		if err := p.signal(syscall.SIGSTOP); err != nil {
			return fmt.Errorf("freeze %s: %w", p.name, err)
		}
		err := lasting(ctx, 8*time.Second)
		err = errors.Join(err, p.signal(syscall.SIGCONT))
		r.back()
		return err
	}
}

// thaw waits until the armed process has stopped itself, and continues it later.
func thaw(ctx context.Context, r *run) error {
	p := r.serving[0]
	err := until(ctx, 10*time.Millisecond, func() bool {
		_, _, state := readStat(fmt.Sprintf("/proc/%d/stat", p.pid()))
		return state == "T"
	})
	r.away()
	if err == nil {
		err = lasting(ctx, 8*time.Second)
	}
	err = errors.Join(err, p.signal(syscall.SIGCONT))
	r.back()
	return err
}

// killed waits for the failpoint, and for the process that is started instead.
func killed(ctx context.Context, r *run) error {
	list := r.serving
	if r.arm.kind == "work" {
		list = r.working
	}
	p := list[0]
	late, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("the failpoint was never reached"))
	defer cancel()
	select {
	case at := <-p.died:
		r.awayFrom(at)
	case <-late.Done():
		return context.Cause(late)
	}
	if err := p.ready(ctx, "/readyz"); err != nil {
		return err
	}
	r.back()
	return nil
}

func migrateAtOnce(ctx context.Context, r *run) error {
	errs := make([]error, 4)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, errs[i] = r.command(ctx, nil, "migrate", "up") })
	}
	all.Wait()
	return errors.Join(errs...)
}
