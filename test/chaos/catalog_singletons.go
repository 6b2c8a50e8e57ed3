package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// singletonScenarios kill processes that hold what one process at a time does.
func singletonScenarios() []scenario {
	return []scenario{
		{name: "singletons-move", about: "two of three serve and of three work processes are killed and not started again; the others measure, evaluate alerts and seal on",
			serves: 3, works: 3, duplicates: true, target: ofProcess, inject: singletonsMove},
		{name: "ten-processes", about: "five serve and five work within max_connections=100, by the budget of docs/deployment.md, while PostgreSQL hangs and commands run",
			serves: 5, works: 5, duplicates: true, cluster: &clusterConfig{connections: 100}, env: []string{"DATABASE_MAX_CONNECTIONS=8"}, inject: withinBudget},
	}
}

// singletons are what one process at a time does: how long ago it was done last, and how often
// it is due. Retention is not among them, since it is due every hour: see the tests of that
// module. Every process relays, and merges figures, what it finds to be done.
var singletons = []struct {
	name, ageSQL string
	every        time.Duration
}{
	{"gauges", "SELECT extract(epoch FROM clock_timestamp() - max(claimed_at)) FROM gauges", 10 * time.Second},
	{"alerts", "SELECT extract(epoch FROM clock_timestamp() - max(claimed_at)) FROM alert_turns", 10 * time.Second},
	{"seals", "SELECT extract(epoch FROM clock_timestamp() - max(sealed_at)) FROM audit_seals", 2 * time.Second},
}

// movesWithin is how late a singleton may be when the process that did it last is dead.
const movesWithin = 10 * time.Second

// singletonsMove kills the processes in three steps, so that whichever does a thing is among
// them, and watches how late each thing is done. Sealing needs audit entries, which webhooks make.
func singletonsMove(ctx context.Context, r *run) error {
	watching, stop := context.WithCancel(ctx)
	late := make(chan error, 1)
	go func() { late <- r.watchSingletons(watching) }()
	err := func() error {
		// Each has been done once before anything dies.
		if err := sustain(ctx, singletons[0].every+2*time.Second); err != nil {
			return err
		}
		r.faultBegan()
		for i := range 2 {
			for _, p := range []*process{r.serving[i], r.working[i]} {
				if err := p.terminate(ctx, syscall.SIGKILL, true); err != nil {
					return err
				}
			}
			if err := sustain(ctx, 3*time.Second); err != nil {
				return err
			}
		}
		r.faultEnded()
		return sustain(ctx, singletons[0].every+movesWithin)
	}()
	stop()
	return errors.Join(err, <-late)
}

// watchSingletons samples until ctx ends, and reports those that were late.
func (r *run) watchSingletons(ctx context.Context) error {
	oldest := make([]time.Duration, len(singletons))
	for sustain(ctx, 250*time.Millisecond) == nil {
		for i, s := range singletons {
			said, err := r.sql(context.WithoutCancel(ctx), s.ageSQL)
			if err != nil {
				return err
			}
			seconds, err := strconv.ParseFloat(strings.TrimSpace(said), 64)
			if err != nil {
				continue // it was never done; then the next samples are older
			}
			oldest[i] = max(oldest[i], time.Duration(seconds*float64(time.Second)))
		}
	}
	var parts []string
	for i, s := range singletons {
		parts = append(parts, fmt.Sprintf("%s %.1f s", s.name, oldest[i].Seconds()))
		if oldest[i] == 0 || oldest[i] > s.every+movesWithin {
			r.fault("%s were done %.1f s apart; they are due every %s, and the bar is %s more", s.name, oldest[i].Seconds(), s.every, movesWithin)
		}
	}
	r.say("    longest time since it was last done: %s", strings.Join(parts, ", "))
	return nil
}

// connectionBudget is what the gateway may use of max_connections=100: PostgreSQL keeps three.
const connectionBudget = 97

// withinBudget makes all connections be used: requests pile up while the database hangs, and
// commands run beside the processes afterwards.
func withinBudget(ctx context.Context, r *run) error {
	watching, stop := context.WithCancel(ctx)
	most := make(chan int, 1)
	go func() {
		n := 0
		for sustain(watching, 50*time.Millisecond) == nil {
			said, err := r.sql(watching, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
			if now, wrong := strconv.Atoi(said); err == nil && wrong == nil {
				n = max(n, now)
			}
		}
		most <- n
	}()
	r.faultBegan()
	r.nodes.primary.signal(syscall.SIGSTOP)
	err := sustain(ctx, awayFor)
	r.nodes.primary.signal(syscall.SIGCONT)
	r.faultEnded()
	for range 3 {
		_, _ = r.command(ctx, nil, "doctor") // its verdict is no matter here
		if _, failed := r.command(ctx, nil, "migrate", "plan"); failed != nil {
			err = errors.Join(err, failed)
		}
	}
	stop()
	n := <-most
	r.say("    at most %d connections at once", n)
	if n < 10*8/2 || n > connectionBudget {
		r.fault("the gateway had %d connections at once; the budget is %d, and the scenario is to use most of it", n, connectionBudget)
	}
	return errors.Join(err, r.refusedConnections())
}

// refusedConnections reports what PostgreSQL refused for want of connections.
func (r *run) refusedConnections() error {
	text, err := os.ReadFile(r.nodes.primary.log)
	if err != nil {
		return fmt.Errorf("read the log of PostgreSQL: %w", err)
	}
	for _, refusal := range []string{"too many clients", "remaining connection slots"} {
		if n := strings.Count(string(text), refusal); n > 0 {
			r.fault("PostgreSQL refused %d connections: %s", n, refusal)
		}
	}
	return nil
}
