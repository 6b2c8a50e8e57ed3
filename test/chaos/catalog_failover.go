package main

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"
)

// failoverScenarios move the database to a synchronous standby, so that no commit is lost.
// The gateway reaches it by a URL with both hosts, or by a proxy.
func failoverScenarios() []scenario {
	var list []scenario
	build := func(name, about string, proxied bool, gap gapBar, inject func(context.Context, *run) error) {
		list = append(list, scenario{name: name, about: about, serves: 3, works: 3, duplicates: true,
			cluster:        &clusterConfig{standby: true, synchronous: true, proxied: proxied},
			processingTime: always(time.Second), gap: gap, inject: inject})
	}
	for _, way := range []struct {
		name, by string
		proxied  bool
	}{{"hosts", "; both hosts are in the URL", false}, {"proxy", "; by a proxy", true}} {
		build("switchover-"+way.name, "the primary is stopped fast and its standby promoted, with a receiver that takes a second"+way.by,
			way.proxied, beyond(2*time.Second), switchover)
		build("primary-hangs-"+way.name, "the primary hangs; its standby is promoted after three seconds and the old one killed"+way.by,
			way.proxied, within(10*time.Second), primaryHangs)
		build("primary-killed-"+way.name,
			"the primary is killed, the gateway is restarted while only the standby answers, and the standby promoted"+way.by,
			way.proxied, nil, primaryKilled)
	}
	build("switched-early", "the primary is stopped fast; a proxy leads to the standby, which is promoted four seconds later",
		true, nil, switchedEarly)
	build("standby-visited", "the primary restarts; a proxy leads to the standby meanwhile and leaves connections there",
		true, nil, standbyVisited)
	return list
}

func switchover(ctx context.Context, r *run) error {
	r.faultBegan()
	defer r.faultEnded()
	if err := r.nodes.primary.stop(ctx); err != nil {
		return err
	}
	_, err := r.nodes.promote(ctx)
	r.nodes.switchProxy()
	return err
}

// switchedEarly makes the proxy lead to the standby before its promotion, like a proxy
// whose check only tests whether the server answers.
func switchedEarly(ctx context.Context, r *run) error {
	r.faultBegan()
	defer r.faultEnded()
	if err := r.nodes.primary.stop(ctx); err != nil {
		return err
	}
	r.nodes.gatewayProxy.switchTo(r.nodes.standby.address())
	if err := sustain(ctx, awayFor); err != nil {
		return err
	}
	_, err := r.nodes.promote(ctx)
	return err
}

// standbyVisited restarts the primary. Meanwhile the proxy leads to the standby, and keeps
// the connections that are made there.
func standbyVisited(ctx context.Context, r *run) error {
	r.faultBegan()
	defer r.faultEnded()
	if err := r.nodes.primary.stop(ctx); err != nil {
		return err
	}
	r.nodes.gatewayProxy.switchTo(r.nodes.standby.address())
	if err := errors.Join(sustain(ctx, awayFor), r.nodes.primary.start(ctx)); err != nil {
		return err
	}
	r.nodes.gatewayProxy.switchTo(r.nodes.primary.address())
	return nil
}

func primaryHangs(ctx context.Context, r *run) error {
	r.faultBegan()
	defer r.faultEnded()
	r.nodes.primary.signal(syscall.SIGSTOP)
	if err := sustain(ctx, 3*time.Second); err != nil {
		return err
	}
	old, err := r.nodes.promote(ctx)
	if err != nil {
		return err
	}
	r.nodes.switchProxy()
	return old.kill(ctx)
}

// primaryKilled restarts every process while there is no primary: each has to wait for one.
func primaryKilled(ctx context.Context, r *run) error {
	r.faultBegan()
	if err := r.nodes.primary.kill(ctx); err != nil {
		return err
	}
	up := make(chan error, 1)
	go func() {
		up <- atOnce(slices.Concat(r.serving, r.working), func(p *process) error {
			if err := p.terminate(ctx, syscall.SIGTERM, true); err != nil {
				return err
			}
			return p.resume(ctx)
		})
	}()
	err := sustain(ctx, awayFor)
	if err == nil {
		_, err = r.nodes.promote(ctx)
		r.nodes.switchProxy()
		r.faultEnded()
	}
	return errors.Join(err, <-up)
}
