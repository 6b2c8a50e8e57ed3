// Command bench measures the gateway on this machine: how many webhooks a second it
// accepts and delivers, how long that takes, and what it costs. Every rate is given as
// a ratio to the ceiling, a bare HTTP server that checks the signature, parses the JSON
// and answers, run in turns with it, so that figures of different machines compare.
//
// It runs the gateway as its users do, as processes on servers of its own, and checks
// that everything accepted arrived. Run it by scripts/bench.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

const help = `Measures the gateway. Without --setup, --mode and --loop: a full run of both setups.

usage: ./scripts/bench [flags]
`

// options are what the command line says.
type options struct {
	cell       // of a run that is not full
	full       bool
	write      bool
	backlog    int // events that a worker is started on; 0 leaves that out
	stored     int // events that are stored; 0 leaves that out
	isolation  int // destinations, of which one hangs; 0 leaves that out
	flood      int // bad signatures for each good one; 0 leaves that out
	profile    string
	scratchDir string
}

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string, out io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.setup, "setup", onServers, "servers (PostgreSQL, RabbitMQ and Redis) or embedded (one process)")
	flags.StringVar(&o.mode, "mode", deliver, "accept (no worker; waits until every job is published) or deliver")
	flags.StringVar(&o.loop, "loop", closed, "closed (the next one after the answer) or open (at --rate)")
	flags.IntVar(&o.concurrency, "concurrency", 64, "connections of the sender")
	flags.StringVar(&o.sender, "sender", standard, "standard (net/http, as providers have) or lean (costs little, so that the ceiling is higher and ratios lower)")
	flags.IntVar(&o.rate, "rate", 0, "webhooks a second of an open loop")
	flags.IntVar(&o.payload, "payload", 340, "bytes of a webhook's body")
	flags.DurationVar(&o.duration, "duration", 8*time.Second, "how long a turn sends")
	flags.IntVar(&o.repeats, "repeats", 3, "turns of the gateway, each between two of the ceiling")
	flags.IntVar(&o.backlog, "backlog", 0, "only this: start a worker on so many stored events, and measure its rate and memory")
	flags.IntVar(&o.stored, "stored", 0, "only this: accepted/s and the times of lists with so many events stored, against 10,000")
	flags.IntVar(&o.isolation, "isolation", 0, "only this: what the others of so many destinations receive while one hangs, against none")
	flags.IntVar(&o.flood, "flood", 0, "only this: accepted/s without and with so many bad signatures for each good webhook, at a fifth of the most")
	flags.BoolVar(&o.write, "write", false, "write the result of a full run into docs/performance.md")
	flags.StringVar(&o.profile, "profile", "", "folder for CPU profiles of the gateway's processes")
	flags.StringVar(&o.scratchDir, "scratch", "", "folder for databases and logs; not in memory (default the system's temporary one)")
	flags.Usage = func() {
		fmt.Fprint(out, help)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.full = true
	flags.Visit(func(f *flag.Flag) {
		if slices.Contains([]string{"setup", "mode", "loop", "rate", "backlog", "stored", "isolation", "flood"}, f.Name) {
			o.full = false
		}
	})
	err := o.check()
	if err != nil {
		fmt.Fprintln(out, "bench:", err)
	}
	return o, err
}

func (o options) check() error {
	switch {
	case o.setup != onServers && o.setup != embedded:
		return errors.New("--setup is servers or embedded")
	case o.mode != accept && o.mode != deliver:
		return errors.New("--mode is accept or deliver")
	case o.loop != closed && o.loop != open:
		return errors.New("--loop is closed or open")
	case o.sender != standard && o.sender != lean:
		return errors.New("--sender is standard or lean")
	case o.setup == embedded && o.mode == accept:
		return errors.New("the embedded gateway is one process and always delivers; leave --mode accept out")
	case (o.loop == open) != (o.rate > 0):
		return errors.New("--loop open and --rate go together")
	case o.concurrency < 1 || o.repeats < 1 || o.duration <= 0:
		return errors.New("--concurrency, --repeats and --duration are more than 0")
	case o.stored != 0 && o.stored <= fewStored:
		return fmt.Errorf("--stored is more than %d", fewStored)
	case o.isolation != 0 && (o.isolation < 2 || o.isolation > 100):
		return errors.New("--isolation is 2 to 100")
	case o.flood != 0 && (o.flood < 1 || o.loop == open):
		return errors.New("--flood is more than 0, and finds its own rate: leave --loop and --rate out")
	case o.write && !o.full:
		return errors.New("--write needs a full run")
	}
	return nil
}
