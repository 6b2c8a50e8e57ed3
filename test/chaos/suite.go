package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	oldest   string // the binary of the first schema; "" until a scenario needs it
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
	if slices.ContainsFunc(list, func(c scenario) bool { return c.upgrades }) {
		if err := s.buildOldest(ctx); err != nil {
			return nil, err
		}
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
		if err := s.ensureServers(ctx, c); err != nil {
			return results, err
		}
		s.say("%d/%d %s: %s", i+1, len(list), c.name, c.about)
		r := s.runScenario(ctx, c)
		results = append(results, r)
		s.say("%d/%d %s", i+1, len(list), r)
		if ctx.Err() != nil {
			return results, context.Cause(ctx)
		}
	}
	return results, nil
}

// build builds the gateway with its failpoints.
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
		s.say("this gateway has no command verify; its records are only checked with the API")
	}
	return nil
}

// ensureServers starts the servers, once, for the first scenario that needs them.
func (s *suite) ensureServers(ctx context.Context, c scenario) (err error) {
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

// scenarioTimeout limits a scenario, whatever hangs, beside what a large replay takes at its rate.
const scenarioTimeout = 5 * time.Minute

// runScenario runs one scenario. Any error is in its result.
func (s *suite) runScenario(ctx context.Context, c scenario) result {
	ctx, cancel := context.WithTimeoutCause(ctx, scenarioTimeout+2*time.Duration(s.replay)*time.Second/time.Duration(max(1, s.replayRate)), errors.New("the scenario took too long"))
	defer cancel()
	dir := filepath.Join(s.scratch, c.name)
	r := &run{suite: s, scenario: c, program: s.gateway, dir: dir, ledger: newLedger(), supervisor: &supervisor{}}
	if c.upgrades {
		r.program = s.oldest
	}
	err := r.execute(ctx)
	if !c.embedded {
		err = errors.Join(err, s.restore(context.WithoutCancel(ctx)))
	}
	got := r.result(err)
	if got.ok() && !s.keep {
		_ = os.RemoveAll(dir)
	}
	return got
}

// restore repairs what an aborted scenario left broken.
func (s *suite) restore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return errors.Join(s.proxies.reset(ctx), s.servers.restore(ctx))
}
