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
		{name: "kill-9-serve", about: "serve is killed and started again", short: true, duplicates: false,
			inject: restarting(syscall.SIGKILL, serving)},
		{name: "kill-9-work", about: "work is killed in the middle of deliveries and started again", short: true, duplicates: true,
			inject: restarting(syscall.SIGKILL, working)},
		{name: "sigterm-serve", about: "serve is stopped and started again, as in a deployment",
			inject: restarting(syscall.SIGTERM, serving)},
		{name: "sigterm-work", about: "work is stopped in the middle of deliveries and started again", short: true,
			inject: restarting(syscall.SIGTERM, working)},
		{name: "rolling-restart", about: "two serve and two work processes are restarted one after the other", serves: 2, works: 2,
			inject: restarting(syscall.SIGTERM, serving, working)},
		{name: "freeze-work", about: "one of two work processes is stopped by SIGSTOP for eight seconds, and continued", works: 2, duplicates: true,
			inject: frozen(working)},
		{name: "freeze-serve", about: "one of two serve processes is stopped by SIGSTOP, and continued", serves: 2,
			inject: frozen(serving)},
		{name: "freeze-in-commit", about: "one of two serve processes is stopped by SIGSTOP inside a transaction, and continued", serves: 2,
			failpoint: failpointConfig{kind: "serve", point: failpoint.BeforeCommit + "=stop@150"}, inject: thaw},
		{name: "migrate-at-once", about: "four `migrate up` on an empty database at once",
			prepare: migrateAtOnce, inject: watch},
	}
	for i := range list {
		list[i].target = ofProcess
	}
	return append(list, failpointScenarios("", false)...)
}

func embeddedScenarios() []scenario {
	list := []scenario{
		{name: "embedded-kill-9", about: "dev is killed and started again on its data folder", embedded: true, short: true, duplicates: true, target: ofProcess,
			inject: restarting(syscall.SIGKILL, serving)},
		{name: "embedded-sigterm", about: "dev is stopped and started again on its data folder", embedded: true, target: ofProcess,
			inject: restarting(syscall.SIGTERM, serving)},
	}
	return append(list, failpointScenarios("embedded-", true)...)
}

// failpointScenarios kill a process at each failpoint.
func failpointScenarios(prefix string, embedded bool) []scenario {
	var list []scenario
	add := func(kind, point, where string, repeats bool) {
		s := scenario{name: prefix + "kill-" + point, about: kind + " is killed " + where, embedded: embedded, duplicates: repeats, target: ofProcess,
			failpoint: failpointConfig{kind: kind, point: point + "=kill@150"}, inject: killed}
		if embedded {
			// One process does both, and dies with its deliveries in progress.
			s.about, s.duplicates = "dev is killed "+where, true
		}
		list = append(list, s)
	}
	add("serve", failpoint.BeforeCommit, "with a group written, but not committed", false)
	add("serve", failpoint.AfterCommit, "with a group committed, but not answered", false)
	add("serve", failpoint.BeforePublish, "with jobs stored, but not published", false)
	add("serve", failpoint.AfterPublish, "with messages published, but not marked", false)
	add("work", failpoint.AfterClaim, "with jobs claimed, but not sent", true)
	add("work", failpoint.AfterPost, "with a delivery answered, but not recorded", true)
	add("work", failpoint.AfterRecord, "with outcomes recorded, but messages not acknowledged", true)
	add("work", failpoint.BeforeAck, "before it acknowledges a message", true)
	return list
}

// serving and working select processes of a run.
func serving(r *run) []*process { return r.serving }
func working(r *run) []*process { return r.working }

// restarting ends processes with sig, each after the previous one is back.
func restarting(sig syscall.Signal, pick ...func(*run) []*process) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		r.faultBegan()
		for _, of := range pick {
			for _, p := range of(r) {
				if err := p.restart(ctx, sig); err != nil {
					return err
				}
			}
		}
		r.faultEnded()
		return nil
	}
}

// frozen stops the first process for longer than the detection takes.
func frozen(pick func(*run) []*process) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		p := pick(r)[0]
		r.faultBegan()
		if err := p.signal(syscall.SIGSTOP); err != nil {
			return fmt.Errorf("freeze %s: %w", p.name, err)
		}
		err := sustain(ctx, 8*time.Second)
		err = errors.Join(err, p.signal(syscall.SIGCONT))
		r.faultEnded()
		return err
	}
}

// thaw waits until the process has stopped itself at its failpoint, and continues it later.
func thaw(ctx context.Context, r *run) error {
	p := r.serving[0]
	err := until(ctx, 10*time.Millisecond, func() bool {
		_, _, state := readStat(fmt.Sprintf("/proc/%d/stat", p.pid()))
		return state == "T"
	})
	r.faultBegan()
	if err == nil {
		err = sustain(ctx, 8*time.Second)
	}
	err = errors.Join(err, p.signal(syscall.SIGCONT))
	r.faultEnded()
	return err
}

// killed waits for the failpoint, and for the process that replaces it.
func killed(ctx context.Context, r *run) error {
	list := r.serving
	if r.failpoint.kind == "work" {
		list = r.working
	}
	p := list[0]
	late, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("the failpoint was never reached"))
	defer cancel()
	select {
	case at := <-p.died:
		r.faultBeganAt(at)
	case <-late.Done():
		return context.Cause(late)
	}
	defer r.faultEnded()
	if r.failpoint.stays {
		return nil
	}
	return p.ready(ctx, "/readyz")
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
