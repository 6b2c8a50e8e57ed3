// Command report runs `go test -json` and prints its output as go test does: one line
// for each package, and the full output of failed tests. At the end it prints the
// counts, the slowest tests, and the reason for each skip.
//
//	report [-strict] go test -json …
//
// With -strict, a test skipped because it has no server counts as failed. The
// exit code is 1 when anything failed.
package main

import (
	"bufio"
	"cmp"
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
	Elapsed     float64 // seconds
}

type summary struct {
	strict bool
	all    bool // show every line, as -v does
	out    io.Writer

	lines                   map[string][]string // of each running test
	passed, failed, skipped int
	packagesFailed          []string
	reasons                 map[string]int
	withoutServer           int // tests skipped because they had no server
	requests, answers       int // compared with the API's description, in all packages
	slowest                 []event
}

// compared is the line that testkit.ReportChecked prints for a package.
const compared = "%d requests and %d answers agree with docs/openapi.json"

func main() {
	strict := flag.Bool("strict", false, "fail when a test was skipped because it had no server")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: report [-strict] go test -json …")
		os.Exit(2)
	}
	t := &summary{strict: *strict, all: slices.Contains(flag.Args(), "-v"), out: os.Stdout,
		lines: map[string][]string{}, reasons: map[string]int{}}
	err := run(flag.Args(), t)
	t.print()
	if err != nil || t.failed > 0 || len(t.packagesFailed) > 0 || t.strict && t.withoutServer > 0 {
		if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
}

func run(command []string, t *summary) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the caller chose the command
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

func (t *summary) read(r io.Reader) {
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

func (t *summary) add(e event) {
	key := e.Package + " " + e.Test
	switch {
	case e.Action == "output" && e.Test == "" && !t.all:
		t.count(e.Output)
		if !chatter(e.Output) {
			fmt.Fprint(t.out, e.Output)
		}
	case e.Action == "output" || e.Action == "build-output":
		if e.Test == "" {
			t.count(e.Output)
		}
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

// count adds up what the packages compared with the API's description.
func (t *summary) count(line string) {
	var requests, answers int
	if n, _ := fmt.Sscanf(line, compared, &requests, &answers); n == 2 {
		t.requests, t.answers = t.requests+requests, t.answers+answers
	}
}

// chatter reports whether line repeats the package's final line.
func chatter(line string) bool { return line == "PASS\n" || line == "FAIL\n" }

func (t *summary) end(e event, key string) {
	t.time(e)
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
			t.withoutServer++
		}
	}
	delete(t.lines, key)
}

// shown is how many of the slowest tests are printed, if they took a second or longer.
const shown = 20

// time keeps a test that is among the slowest. Parts of a test count with it.
func (t *summary) time(e event) {
	if e.Elapsed < 1 || strings.Contains(e.Test, "/") {
		return
	}
	t.slowest = append(t.slowest, e)
	slices.SortStableFunc(t.slowest, func(a, b event) int { return cmp.Compare(b.Elapsed, a.Elapsed) })
	t.slowest = t.slowest[:min(len(t.slowest), shown)]
}

// unfinished prints the tests that were still running when their package ended:
// after a panic or a timeout they have no result.
func (t *summary) unfinished(pkg string) {
	for key, lines := range t.lines {
		if strings.HasPrefix(key, pkg+" ") {
			if !t.all {
				fmt.Fprint(t.out, strings.Join(lines, ""))
			}
			delete(t.lines, key)
		}
	}
}

// skipReason returns the message that a test passed to Skip.
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

func (t *summary) print() {
	fmt.Fprintf(t.out, "\n%d tests passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	if t.answers > 0 {
		fmt.Fprintf(t.out, compared+"\n", t.requests, t.answers)
	}
	for _, e := range t.slowest {
		fmt.Fprintf(t.out, "  %6.1f s  %s %s\n", e.Elapsed, e.Package, e.Test)
	}
	reasons := make([]string, 0, len(t.reasons))
	for reason := range t.reasons {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	for _, reason := range reasons {
		fmt.Fprintf(t.out, "  skipped %d: %s\n", t.reasons[reason], reason)
	}
	if t.strict && t.withoutServer > 0 {
		fmt.Fprintf(t.out, "  %d tests were skipped because they had no server, which this run does not allow\n", t.withoutServer)
	}
	for _, pkg := range t.packagesFailed {
		fmt.Fprintf(t.out, "  failed: %s\n", pkg)
	}
}
