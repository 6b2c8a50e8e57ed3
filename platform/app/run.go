package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"integration-gateway/platform/config"
	"integration-gateway/platform/httpapi"
)

// part runs until its context ends, and then returns as soon as it is finished.
type part struct {
	name string
	run  func(ctx context.Context) error
}

// stage is a set of parts that stop together.
type stage []part

// errGrace ends a process whose work did not finish in time. Nothing is lost: the leases in
// the database bring the work back.
var errGrace = errors.New("work was still running when the grace period ended; other processes will take it over")

// run runs all stages until ctx ends or a part fails, and then stops one stage after the
// other, in order: stages that accept work stop before those that forward it.
func run(ctx context.Context, log *slog.Logger, grace time.Duration, stages ...stage) (err error) {
	end, err := profiled()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	return runStages(ctx, log, grace, stages)
}

// The live heap is a few megabytes, so by default the garbage collector would run for every few more.
const (
	gcPercent = 100
	ownMemory = 128 << 20 // memory of a process in addition to the bodies it holds
)

// ballast counts as live heap and is never touched, so it takes no memory. With it the
// collector runs after some 20 MB of allocations at first, and a large heap grows no further
// than without it. GOGC cannot do both, since it multiplies: a value that leaves a small
// heap alone lets a large one double. GOMEMLIMIT alone lets every heap grow to the limit.
var ballast []byte

// tuneGC lets the heap grow further between collections, unless GOGC or GOMEMLIMIT is set.
// If the bodies in flight may need more, so may the heap, or the collector would run all
// the time. https://go.dev/doc/gc-guide
func tuneGC(cfg config.Config) {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		ballast = make([]byte, 16<<20)
		debug.SetGCPercent(gcPercent)
		debug.SetMemoryLimit(int64(len(ballast)) + ownMemory + 2*cfg.Webhook.MaxInflightBytes)
	}
}

func runStages(ctx context.Context, log *slog.Logger, grace time.Duration, stages []stage) error {
	failed := make(chan error, 1)
	running := make([]*runningStage, len(stages))
	for i, s := range stages {
		running[i] = start(ctx, s, failed)
	}
	var cause error
	select {
	case <-ctx.Done():
		log.Info("stopping", "grace", grace.String())
	case cause = <-failed:
		log.Error("a part of the process failed; stopping", "error", cause)
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	for _, s := range running {
		s.stop()
		select {
		case <-s.done:
		case <-end.Done():
			return errors.Join(cause, errGrace)
		}
		if cause == nil {
			cause = s.err
		}
	}
	if cause == nil {
		log.Info("stopped")
	}
	return cause
}

type runningStage struct {
	stop context.CancelFunc
	done chan struct{}
	err  error // valid after done is closed
}

func start(ctx context.Context, s stage, failed chan<- error) *runningStage {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	r := &runningStage{stop: stop, done: make(chan struct{})}
	var parts errgroup.Group
	for _, p := range s {
		parts.Go(func() error {
			err := p.run(life)
			if err != nil {
				err = fmt.Errorf("%s: %w", p.name, err)
				select {
				case failed <- err:
				default: // another part failed first
				}
			}
			return err
		})
	}
	go func() {
		r.err = parts.Wait()
		close(r.done)
	}()
	return r
}

// serving handles requests until ctx ends. Then it reports not ready, accepts no further
// requests, and finishes the running ones.
func serving(s *httpapi.Server, grace time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		served := make(chan error, 1)
		go func() { served <- s.Serve() }()
		select {
		case err := <-served:
			return err
		case <-ctx.Done():
		}
		s.Drain()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		return errors.Join(s.Shutdown(end), <-served)
	}
}

// onStop runs nothing until its stage stops, and then do.
func onStop(do func()) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		do()
		return nil
	}
}
