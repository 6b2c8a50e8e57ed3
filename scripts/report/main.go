// Command report runs `go test -json` and shows it as go test would: a line for each
// package, and in full whatever failed. At the end it counts tests and gives the
// reason of each that was skipped.
//
//	report [-strict] go test -json …
//
// With -strict a test that was skipped for lack of a server counts as failed. The
// exit code is 1 when anything failed.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// grace is how long go test has to clean up after an interruption.
const grace = 20 * time.Second

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output, in place of Package
	Test        string
	Output      string
	FailedBuild string
}

type tally struct {
	strict bool
	all    bool // show every line, as -v does
	out    io.Writer

	lines                   map[string][]string // of each test that runs
	passed, failed, skipped int
	packagesFailed          []string
	reasons                 map[string]int
	lacking                 int // tests skipped for lack of a server
}

func main() {
	strict := flag.Bool("strict", false, "a test skipped for lack of a server has failed")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: report [-strict] go test -json …")
		os.Exit(2)
	}
	t := &tally{strict: *strict, all: slices.Contains(flag.Args(), "-v"), out: os.Stdout,
		lines: map[string][]string{}, reasons: map[string]int{}}
	err := run(flag.Args(), t)
	t.summary()
	if err != nil || t.failed > 0 || len(t.packagesFailed) > 0 || t.strict && t.lacking > 0 {
		if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
}

func run(command []string, t *tally) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the command is the caller's own
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = grace
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("read the tests' output: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the tests: %w", err)
	}
	t.read(stdout)
	return cmd.Wait()
}

func (t *tally) read(r io.Reader) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				t.add(e)
			} else {
				fmt.Fprintf(t.out, "%s", line)
			}
		}
		if err != nil {
			return
		}
	}
}

func (t *tally) add(e event) {
	key := e.Package + " " + e.Test
	switch {
	case e.Action == "output" && e.Test == "" && !t.all:
		if !chatter(e.Output) {
			fmt.Fprint(t.out, e.Output)
		}
	case e.Action == "output" || e.Action == "build-output":
		if t.all || e.Action == "build-output" {
			fmt.Fprint(t.out, e.Output)
		}
		t.lines[key] = append(t.lines[key], e.Output)
	case e.Test == "":
		if e.Action == "fail" {
			t.packagesFailed = append(t.packagesFailed, e.Package)
			t.unfinished(e.Package)
		}
	case e.Action == "pass" || e.Action == "fail" || e.Action == "skip":
		t.end(e, key)
	}
}

// chatter is what a package says beside its closing line.
func chatter(line string) bool { return line == "PASS\n" || line == "FAIL\n" }

func (t *tally) end(e event, key string) {
	switch e.Action {
	case "pass":
		t.passed++
	case "fail":
		t.failed++
		if !t.all {
			fmt.Fprint(t.out, strings.Join(t.lines[key], ""))
		}
	case "skip":
		t.skipped++
		reason := skipReason(t.lines[key])
		t.reasons[reason]++
		if strings.Contains(reason, "./scripts/test sets it") {
			t.lacking++
		}
	}
	delete(t.lines, key)
}

// unfinished shows the tests that had not ended when their package did: a panic
// or a timeout leaves them without a verdict.
func (t *tally) unfinished(pkg string) {
	for key, lines := range t.lines {
		if strings.HasPrefix(key, pkg+" ") {
			if !t.all {
				fmt.Fprint(t.out, strings.Join(lines, ""))
			}
			delete(t.lines, key)
		}
	}
}

// skipReason is the line that a test wrote when it skipped itself.
func skipReason(lines []string) string {
	for _, line := range slices.Backward(lines) {
		text := strings.TrimSpace(line)
		if text == "" || strings.HasPrefix(text, "===") || strings.HasPrefix(text, "---") {
			continue
		}
		if _, after, ok := strings.Cut(text, ".go:"); ok {
			_, text, _ = strings.Cut(after, ": ")
		}
		return text
	}
	return "no reason given"
}

func (t *tally) summary() {
	fmt.Fprintf(t.out, "\n%d tests passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	reasons := make([]string, 0, len(t.reasons))
	for reason := range t.reasons {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		fmt.Fprintf(t.out, "  skipped %d: %s\n", t.reasons[reason], reason)
	}
	if t.strict && t.lacking > 0 {
		fmt.Fprintf(t.out, "  no test may be skipped for lack of a server here, and %d were\n", t.lacking)
	}
	for _, pkg := range t.packagesFailed {
		fmt.Fprintf(t.out, "  failed: %s\n", pkg)
	}
}
