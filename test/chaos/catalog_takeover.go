package main

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
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
		{name: "clocks-apart", about: "one of three serve and of three work processes is ten minutes ahead, and one ten minutes behind; doctor and the metric say so",
			serves: 3, works: 3, target: ofClock, maxWait: bar, reason: because, inject: clocksNamed,
			each: func(_ string, i int) []string {
				if off := clockOffsets[i]; off != 0 {
					return []string{"GATEWAY_CLOCK_OFFSET=" + off.String()}
				}
				return nil
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

// clockOffsets are how far the processes of each kind are ahead, by their number.
var clockOffsets = map[int]time.Duration{1: 10 * time.Minute, 2: -10 * time.Minute}

// metricsAddress finds where a process answers Prometheus, in its log.
var metricsAddress = regexp.MustCompile(`listening for=metrics address=(\S+)`)

// clocksNamed requires that doctor names each process whose clock is wrong, and no other, and
// that each says so itself.
func clocksNamed(ctx context.Context, r *run) error {
	r.faultBegan()
	r.faultEnded()
	said, _ := r.command(ctx, nil, "doctor") // it fails for what is no matter here
	for _, way := range []string{"10m0s ahead of", "10m0s behind"} {
		for _, kind := range []string{"serve", "work"} {
			if n := len(regexp.MustCompile(`the clock of `+kind+` on .* is `+way).FindAllString(said, -1)); n != 1 {
				r.fault("doctor names %d processes (%s) whose clock is %s the database's, not 1: %s", n, kind, way, firstLines(said, 12))
			}
		}
	}
	for i, p := range r.serving {
		text, err := os.ReadFile(filepath.Join(r.dir, p.name+".log"))
		address := metricsAddress.FindSubmatch(text)
		if err != nil || address == nil {
			return fmt.Errorf("find the address of the metrics of %s: %w", p.name, err)
		}
		ahead, err := metric(ctx, "http://"+string(address[1])+"/metrics", "gateway_clock_ahead_seconds")
		if err != nil {
			return err
		}
		if off := clockOffsets[i].Seconds(); math.Abs(ahead-off) > 1 {
			r.fault("%s is %.0f s ahead, and its metric says %.3f", p.name, off, ahead)
		}
	}
	return sustain(ctx, 3*time.Second)
}

// metric reads one value without labels.
func metric(ctx context.Context, url, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, fmt.Errorf("read the metrics: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("read the metrics: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if value, is := strings.CutPrefix(lines.Text(), name+" "); is {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}
