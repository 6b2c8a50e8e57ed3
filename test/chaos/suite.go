package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"integration-gateway/platform/clock"
)

// suite runs scenarios one after the other.
type suite struct {
	options
	root, scratch string
	out           io.Writer

	gateway  string // the binary
	verifies bool   // it has the command verify
	servers  *servers
	proxies  *proxies
	receiver *receiver
	ports    ports
}

func (s *suite) say(format string, args ...any) {
	fmt.Fprintf(s.out, "%s  %s\n", clock.System().Local().Format("15:04:05"), fmt.Sprintf(format, args...))
}

func (s *suite) run(ctx context.Context, list []scenario) (results []result, err error) {
	if err := s.build(ctx); err != nil {
		return nil, err
	}
	s.receiver, err = newReceiver()
	if err != nil {
		return nil, err
	}
	defer s.receiver.close()
	defer func() {
		if s.servers != nil {
			err = errors.Join(err, s.servers.down())
		}
	}()
	for i, c := range list {
		if err := s.provide(ctx, c); err != nil {
			return results, err
		}
		s.say("%d/%d %s: %s", i+1, len(list), c.name, c.about)
		r := s.play(ctx, c)
		results = append(results, r)
		s.say("%d/%d %s", i+1, len(list), r)
		if ctx.Err() != nil {
			return results, context.Cause(ctx)
		}
	}
	return results, nil
}

// build makes the gateway with its failpoints.
func (s *suite) build(ctx context.Context) error {
	s.gateway = s.options.gateway
	if s.gateway == "" {
		s.gateway = filepath.Join(s.scratch, "gateway")
		s.say("building the gateway")
		cmd := exec.CommandContext(ctx, "go", "build", "-tags", "failpoint", "-o", s.gateway, ".") //nolint:gosec // our own
		cmd.Dir = s.root
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build the gateway: %w\n%s", err, said)
		}
	}
	var err error
	if s.gateway, err = filepath.Abs(s.gateway); err != nil {
		return fmt.Errorf("the gateway's path: %w", err)
	}
	said, err := exec.CommandContext(ctx, s.gateway, "--help").CombinedOutput() //nolint:gosec // our own
	if err != nil {
		return fmt.Errorf("run the gateway: %w\n%s", err, said)
	}
	s.verifies = strings.Contains(string(said), "\n  verify ")
	if !s.verifies {
		s.say("this gateway has no command verify; the books are checked by its API alone")
	}
	return nil
}

// provide starts the servers, once, for the first scenario that needs them.
func (s *suite) provide(ctx context.Context, c scenario) (err error) {
	if c.embedded || s.servers != nil {
		return nil
	}
	s.say("starting private servers")
	s.servers, err = startServers(ctx, s.root, filepath.Join(s.scratch, "services"))
	if err != nil {
		return err
	}
	s.proxies, err = newProxies(s.servers)
	return err
}

// scenarioTimeout bounds a scenario, whatever hangs.
const scenarioTimeout = 5 * time.Minute

// play runs one scenario. Whatever goes wrong is in its result.
func (s *suite) play(ctx context.Context, c scenario) result {
	ctx, cancel := context.WithTimeoutCause(ctx, scenarioTimeout, errors.New("the scenario took too long"))
	defer cancel()
	dir := filepath.Join(s.scratch, c.name)
	r := &run{suite: s, scenario: c, dir: dir, ledger: newLedger(), supervisor: &supervisor{}}
	err := r.play(ctx)
	if !c.embedded {
		err = errors.Join(err, s.mend(context.WithoutCancel(ctx)))
	}
	got := r.result(err)
	if got.ok() && !s.keep {
		_ = os.RemoveAll(dir)
	}
	return got
}

// mend brings back what a scenario that broke off left broken.
func (s *suite) mend(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return errors.Join(s.proxies.reset(ctx), s.servers.mend(ctx))
}
