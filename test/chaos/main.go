// Command chaos is the fault suite: it runs the gateway as real processes on real servers,
// sends webhooks like a provider, breaks one thing in the middle, counts what arrives, and
// compares it with the bars of docs/reliability.md.
//
// It needs the servers' Debian packages (scripts/services installs them where it may) and
// touches no running server. Run it with scripts/chaos.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

const help = `Runs the fault suite. Without a name: every scenario, on the three servers and then on
the embedded default, which writes docs/reliability.md.

usage: ./scripts/chaos [flags] [scenario …]
       ./scripts/chaos --replay 100000 --replay-rate 500
`

// options are the command line's options.
type options struct {
	list, short, embedded, keep bool
	gateway                     string // a prebuilt binary
	oldGateway                  string // a prebuilt binary of the first schema
	replay, replayRate          int    // events of the bulk replay, 0 for those of a few seconds, and its rate in events a second
	names                       []string
}

// full reports whether this run covers everything.
func (o options) full() bool { return !o.short && !o.embedded && len(o.names) == 0 }

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		os.Exit(2)
	}
	signal.Ignore(syscall.SIGPIPE) // the reader may have exited; the servers must be stopped nevertheless
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = chaos(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.BoolVar(&o.list, "list", false, "list the scenarios with their descriptions, and run none")
	flags.BoolVar(&o.short, "short", false, "a selection that takes about four minutes")
	flags.BoolVar(&o.embedded, "embedded", false, "only the scenarios of the embedded default, which need no servers")
	flags.BoolVar(&o.keep, "keep", false, "also keep the logs and data of passed scenarios")
	flags.StringVar(&o.gateway, "gateway", "", "a prebuilt gateway, built with -tags failpoint")
	flags.StringVar(&o.oldGateway, "old-gateway", "", "a prebuilt gateway of the first schema, which upgrades begin with; it is built from its commit otherwise")
	flags.IntVar(&o.replay, "replay", 0, "only the scenario bulk-replay-killed, with a replay of so many events")
	flags.IntVar(&o.replayRate, "replay-rate", usualReplayRate, "events a second of that replay")
	flags.Usage = func() {
		fmt.Fprint(out, help)
		flags.PrintDefaults()
	}
	err := flags.Parse(args)
	o.names = flags.Args()
	if o.replay > 0 {
		o.names = []string{replayScenario}
	}
	if o.replay < 0 || o.replayRate < 1 {
		err = errors.Join(err, errors.New("--replay and --replay-rate must be positive"))
	}
	return o, err
}

func chaos(ctx context.Context, o options, out io.Writer) error {
	chosen, err := choose(catalog(), o)
	if err != nil {
		return err
	}
	if o.list {
		for _, s := range chosen {
			fmt.Fprintf(out, "%-28s %s\n", s.name, s.about)
		}
		return nil
	}
	root, err := repository()
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "gateway-chaos-")
	if err != nil {
		return fmt.Errorf("create a working folder: %w", err)
	}
	if err := os.Chmod(scratch, 0o711); err != nil { //nolint:gosec // PostgreSQL runs as another user below it
		return fmt.Errorf("make the folder accessible to the servers: %w", err)
	}
	s := &suite{root: root, scratch: scratch, out: out, options: o}
	results, err := s.run(ctx, chosen)
	if err != nil {
		return errors.Join(err, fmt.Errorf("logs and data: %s", scratch))
	}
	return s.printResults(results)
}

// choose selects the requested scenarios.
func choose(all []scenario, o options) ([]scenario, error) {
	var chosen []scenario
	found := map[string]bool{}
	for _, s := range all {
		named := len(o.names) == 0
		for _, name := range o.names {
			match, err := filepath.Match(name, s.name)
			if err != nil {
				return nil, fmt.Errorf("the name %q: %w", name, err)
			}
			named = named || match
			found[name] = found[name] || match
		}
		if named && (!o.short || s.short) && (!o.embedded || s.embedded) {
			chosen = append(chosen, s)
		}
	}
	for _, name := range o.names {
		if !found[name] {
			return nil, fmt.Errorf("unknown scenario %q; see --list", name)
		}
	}
	return chosen, nil
}

// repository returns the folder with go.mod, searching upwards from here.
func repository() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return "", errors.New("run it inside the repository")
}
