package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"integration-gateway/platform/clock"
)

// replicaScenarios restart, kill and scale processes behind a proxy, as load balancers and
// orchestrators do.
func replicaScenarios() []scenario {
	var list []scenario
	for _, kind := range []string{nginx, haproxy} {
		list = append(list,
			scenario{name: "replicas-restarted-" + kind, behind: kind, serves: 3, works: 3, no5xx: true, inject: restarting(syscall.SIGTERM, working, serving),
				about: "three serve and three work processes behind " + kind + " are restarted one after the other, as in a deployment"},
			scenario{name: "replicas-killed-" + kind, behind: kind, serves: 3, works: 3, duplicates: true, inject: killedInTurn, check: onlyCutConnections,
				about: "three serve and three work processes behind " + kind + " are killed one after the other, and started again"},
			scenario{name: "replicas-scaled-" + kind, behind: kind, serves: 1, works: 1, room: 3, no5xx: true, inject: scaled,
				about: "serve and work behind " + kind + " become three of each, and the first and second are stopped for good"})
	}
	for i := range list {
		list[i].target, list[i].accepts = ofProcess, true
		list[i].env = []string{"DRAIN_DELAY_SECONDS=5", "TRUSTED_PROXIES=127.0.0.1/32"}
	}
	return list
}

// settleFor is how long the processes run between two faults.
const settleFor = time.Second

func killedInTurn(ctx context.Context, r *run) error {
	r.faultBegan()
	defer r.faultEnded()
	for i := range r.serving {
		for _, p := range []*process{r.serving[i], r.working[i]} {
			r.kills = append(r.kills, clock.System())
			if err := errors.Join(p.restart(ctx, syscall.SIGKILL), sustain(ctx, settleFor)); err != nil {
				return err
			}
		}
	}
	return nil
}

// onlyCutConnections requires that a sender saw a 5xx only for a request that was sent to a
// process before, or just as, it was killed.
func onlyCutConnections(r *run) {
	stray := map[int]int{}
	cut := 0
	for _, a := range r.ledger.failures() {
		broken := false
		for _, at := range r.kills {
			broken = broken || a.at.After(at) && a.at.Add(-a.took).Before(at.Add(cutMargin))
		}
		if broken && a.status == http.StatusBadGateway {
			cut++
			continue
		}
		stray[a.status]++
	}
	r.say("    %d requests were cut by %d kills and answered 502", cut, len(r.kills))
	if len(stray) > 0 {
		r.fault("webhooks were answered 5xx beside those that a kill cut (status: how many): %v", stray)
	}
}

// cutMargin is how long after a kill the proxy may still send a request on a connection that
// the killed process had open.
const cutMargin = 100 * time.Millisecond

// scaled goes from one process of each kind to three, and back to one.
func scaled(ctx context.Context, r *run) error {
	r.faultBegan()
	defer r.faultEnded()
	for i := 1; i < r.room; i++ {
		if err := errors.Join(r.launchServe(i), r.launchWork(i)); err != nil {
			return err
		}
		if err := errors.Join(r.serving[i].ready(ctx, "/readyz"), r.working[i].ready(ctx, "/readyz"), r.edge.point(r.behindProxy(0, i+1))); err != nil {
			return err
		}
	}
	if err := sustain(ctx, settleFor); err != nil {
		return err
	}
	for i := range r.room - 1 {
		// The proxy learns of it later, within the drain delay.
		noticed := make(chan error, 1)
		go func() {
			noticed <- errors.Join(sustain(ctx, 3*time.Second), r.edge.point(r.behindProxy(i+1, r.room)))
		}()
		err := atOnce([]*process{r.serving[i], r.working[i]}, func(p *process) error { return p.terminate(ctx, syscall.SIGTERM, true) })
		if err := errors.Join(err, <-noticed); err != nil {
			return fmt.Errorf("scale down: %w", err)
		}
	}
	return nil
}
