// Command bench measures the gateway on this machine: how many webhooks a second it accepts
// and delivers, the latency, and the cost. Every rate is also given as a ratio to the
// ceiling, a bare HTTP server that checks the signature, parses the JSON and answers. The
// two run alternately, so that the ratios of different machines can be compared.
//
// It runs the gateway like its users do, as processes on its own servers, and checks that
// everything accepted arrived. Run it with scripts/bench.
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

// options are the command line's options.
type options struct {
	workload   // of a partial run
	full       bool
	write      bool
	backlog    int // events stored before a worker starts; 0: skipped
	stored     int // stored events; 0: skipped
	isolation  int // destinations, of which one hangs; 0: skipped
	flood      int // bad signatures for each valid one; 0: skipped
	siege      bool
	observe    bool
	consoles   int  // open consoles; 0: skipped
	storage    int  // events of a turn that measures bytes; 0: skipped
	bytesOnly  bool // no rates
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
	flags.StringVar(&o.loop, "loop", closed, "closed (the next one after the response) or open (at --rate)")
	flags.IntVar(&o.concurrency, "concurrency", 64, "connections of the sender")
	flags.StringVar(&o.sender, "sender", standard, "standard (net/http, like providers) or lean (uses little CPU, so the ceiling is higher and ratios are lower)")
	flags.IntVar(&o.rate, "rate", 0, "webhooks a second of an open loop")
	flags.IntVar(&o.payload, "payload", payloadBytes, "bytes of a webhook's body")
	flags.DurationVar(&o.duration, "duration", 8*time.Second, "how long a turn sends")
	flags.IntVar(&o.repeats, "repeats", 3, "turns of the gateway, each between two of the ceiling")
	flags.IntVar(&o.backlog, "backlog", 0, "only this: start a worker with so many stored events, and measure its rate and memory")
	flags.IntVar(&o.stored, "stored", 0, "only this: accepted/s and list times with so many stored events, compared with 10,000")
	flags.IntVar(&o.isolation, "isolation", 0, "only this: deliveries to the others of so many destinations while one hangs, compared with none")
	flags.IntVar(&o.flood, "flood", 0, "only this: accepted/s without and with so many bad signatures for each valid webhook, at a fifth of the maximum")
	flags.BoolVar(&o.siege, "siege", false, "only this: accepted/s without and with every attack on the front door at once, at a fifth of the maximum")
	flags.BoolVar(&o.observe, "observe", false, "only this: accepted/s and delivered/s without metrics and traces, with metrics, and with traces of 1 %, in turns")
	flags.IntVar(&o.consoles, "consoles", 0, "only this: accepted/s and delivered/s without and with so many open consoles, in turns")
	flags.IntVar(&o.storage, "events", 50_000, "events of a turn that measures bytes of database and of WAL; 0 skips them in a full run")
	flags.BoolVar(&o.bytesOnly, "bytes", false, "only this: bytes of database and of WAL an event, of both setups and of other projects' tables")
	flags.BoolVar(&o.write, "write", false, "write the result of a full run, or of --bytes, into docs/performance.json and the documents made of it")
	flags.StringVar(&o.profile, "profile", "", "folder for CPU profiles of the gateway's processes")
	flags.StringVar(&o.scratchDir, "scratch", "", "folder for databases and logs, on disk (default the system's temporary folder)")
	flags.Usage = func() {
		fmt.Fprint(out, help)
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.full = true
	flags.Visit(func(f *flag.Flag) {
		if slices.Contains([]string{"setup", "mode", "loop", "rate", "backlog", "stored", "isolation", "flood", "siege", "observe", "consoles", "bytes"}, f.Name) {
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
		return errors.New("--setup must be servers or embedded")
	case o.mode != accept && o.mode != deliver:
		return errors.New("--mode must be accept or deliver")
	case o.loop != closed && o.loop != open:
		return errors.New("--loop must be closed or open")
	case o.sender != standard && o.sender != lean:
		return errors.New("--sender must be standard or lean")
	case o.setup == embedded && o.mode == accept:
		return errors.New("the embedded gateway is one process and always delivers; remove --mode accept")
	case (o.loop == open) != (o.rate > 0):
		return errors.New("--loop open and --rate must be used together")
	case o.concurrency < 1 || o.repeats < 1 || o.duration <= 0:
		return errors.New("--concurrency, --repeats and --duration must be more than 0")
	case o.stored != 0 && o.stored <= fewStored:
		return fmt.Errorf("--stored must be more than %d", fewStored)
	case o.isolation != 0 && (o.isolation < 2 || o.isolation > 100):
		return errors.New("--isolation must be from 2 to 100")
	case o.flood != 0 && (o.flood < 1 || o.loop == open):
		return errors.New("--flood must be more than 0, and determines its own rate: remove --loop and --rate")
	case o.consoles < 0:
		return errors.New("--consoles must be more than 0")
	case o.siege && o.loop == open:
		return errors.New("--siege determines its own rate: remove --loop and --rate")
	case o.storage < 0 || o.storage == 0 && o.bytesOnly:
		return errors.New("--events must be more than 0")
	case o.write && !o.full && !o.bytesOnly:
		return errors.New("--write needs a full run or --bytes")
	}
	return nil
}
