//go:build failpoint

package clock

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// With the build tag failpoint, the fault suite shifts a process's clock.
const (
	// OffsetVariable holds a duration: how far ahead the clock is from the start, or behind
	// if negative.
	OffsetVariable = "GATEWAY_CLOCK_OFFSET"
	// StepVariable holds a duration: how far the clock jumps at each SIGUSR1.
	StepVariable = "GATEWAY_CLOCK_STEP"
)

var offset atomic.Int64

// shift is the clock's offset.
func shift() time.Duration {
	start()
	return time.Duration(offset.Load())
}

var start = sync.OnceFunc(func() {
	offset.Store(int64(fromEnvironment(OffsetVariable)))
	step := fromEnvironment(StepVariable)
	if step == 0 {
		return
	}
	steps := make(chan os.Signal, 1)
	signal.Notify(steps, syscall.SIGUSR1)
	go func() {
		for range steps {
			now := time.Duration(offset.Add(int64(step)))
			_, _ = fmt.Fprintf(os.Stderr, "the clock jumps by %v; its offset is %v\n", step, now)
		}
	}()
})

func fromEnvironment(variable string) time.Duration {
	text := os.Getenv(variable)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "%s: %v; write a duration such as -1m\n", variable, err)
		os.Exit(2)
	}
	return d
}
