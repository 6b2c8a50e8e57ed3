package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"integration-gateway/platform/failpoint"
)

// takeoverScenarios end one of three processes for good, so that the others have to take
// over its work.
func takeoverScenarios() []scenario {
	return []scenario{
		{name: "kill-9-work-of-three", about: "one of three work processes is killed with attempts of one second in progress, and not started again",
			short: true, works: 3, duplicates: true, target: ofProcess, processingTime: always(time.Second), recordedWithin: 500 * time.Millisecond, inject: killedForGood},
		{name: "kill-serve-of-three", about: "one of three serve processes is killed with jobs stored, but not published, and not started again",
			serves: 3, target: ofProcess, inject: killed,
			failpoint: failpointConfig{kind: "serve", point: failpoint.BeforePublish + "=kill@100", stays: true}},
	}
}

// always returns a receiver's processing time that is the same for every delivery.
func always(d time.Duration) func(string) time.Duration {
	return func(string) time.Duration { return d }
}

func killedForGood(ctx context.Context, r *run) error {
	r.faultBegan()
	defer r.faultEnded()
	return r.working[0].terminate(ctx, syscall.SIGKILL, true)
}

// clockScenarios have processes with different clocks.
func clockScenarios() []scenario {
	const bar = time.Second
	const because = "nothing is down"
	return []scenario{
		{name: "clocks-apart", about: "one of three serve processes is two minutes ahead, and one two minutes behind", serves: 3,
			target: ofClock, maxWait: bar, reason: because, inject: watch,
			each: func(kind string, i int) []string {
				off := map[int]string{1: "2m", 2: "-2m"}[i]
				if kind != "serve" || off == "" {
					return nil
				}
				return []string{"GATEWAY_CLOCK_OFFSET=" + off}
			}},
		{name: "clock-steps-back", about: "the clocks of two work processes jump back by a minute", serves: 3, works: 2,
			target: ofClock, maxWait: bar, reason: because, inject: stepped,
			each: func(kind string, _ int) []string {
				if kind == "work" {
					return []string{"GATEWAY_CLOCK_STEP=-1m"}
				}
				return nil
			}},
	}
}

func stepped(ctx context.Context, r *run) error {
	r.faultBegan()
	for _, p := range r.working {
		if err := p.signal(syscall.SIGUSR1); err != nil {
			return fmt.Errorf("step the clock of %s: %w", p.name, err)
		}
	}
	r.faultEnded()
	return sustain(ctx, 5*time.Second)
}
