package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"
)

// result is the result of a scenario.
type result struct {
	scenario
	tally
	flow    flow
	ended   []string // processes that exited unexpectedly
	slowest time.Duration
	faults  []string // missed bars
}

func (r result) ok() bool { return len(r.faults) == 0 }

func (r result) verdict() string {
	if r.ok() {
		return "passed"
	}
	return "MISSED"
}

func (r result) String() string {
	line := fmt.Sprintf("%s: %s: accepted %d, delivered %d, lost %d, twice %d, gap %.1f s, silence %.1f s, longest wait %.1f s",
		r.name, r.verdict(), r.accepted, r.delivered+r.refused, len(r.lost), r.twice, r.flow.gap.Seconds(), r.silence().Seconds(), r.flow.wait.Seconds())
	for _, f := range r.faults {
		line += "\n              - " + f
	}
	return line
}

func (r result) silence() time.Duration { return r.flow.silence }

// result compares what happened with the bars.
func (r *run) result(err error) result {
	r.mu.Lock()
	away, back, stopped := r.beganAt, r.recoveredAt, r.stoppedAt
	got := result{scenario: r.scenario, faults: r.faults}
	r.mu.Unlock()
	miss := func(format string, args ...any) { got.faults = append(got.faults, fmt.Sprintf(format, args...)) }
	if err != nil {
		miss("%s", firstLines(err.Error(), 12))
	}
	settles := inFlight
	if r.recordedWithin > 0 {
		settles = r.recordedWithin
	}
	got.tally = r.ledger.tally(away.Add(-settles), back.Add(inFlight/2))
	counts := back
	if r.target.countsFromBegin() {
		counts = away
	}
	got.flow = r.ledger.flow(window{began: away, recovered: back, sendingEnded: stopped, waitFrom: counts}, r.late)
	got.ended = r.supervisor.ended
	if len(got.lost) > 0 {
		miss("%d lost: %s", len(got.lost), firstFew(got.lost))
	}
	if len(got.unaccepted) > 0 {
		miss("%d were never accepted: %s", len(got.unaccepted), firstFew(got.unaccepted))
	}
	if got.accepted == 0 {
		miss("no webhook was accepted")
	}
	if got.twice > 0 && !r.duplicates {
		miss("%d were delivered twice, although nothing was killed", got.twice)
	} else if len(got.unexpectedTwice) > 0 {
		miss("%d were delivered twice, although not in flight at the fault: %s", len(got.unexpectedTwice), firstFew(got.unexpectedTwice))
	}
	if len(r.ledger.contradictions) > 0 {
		miss("deliveries contradict the responses: %s", firstFew(r.ledger.contradictions))
	}
	r.checkFlow(got.flow, back.Sub(away), miss)
	for _, p := range append(got.ended, panics(r.dir)...) {
		miss("%s", p)
	}
	if r.memory > 0 && (r.peak == 0 || r.peak > r.memory) {
		miss("serve had %d MB in memory; the bar is %d MB", r.peak>>20, r.memory>>20)
	}
	if r.behaviour != nil {
		got.faults = append(got.faults, r.behaviour.violations(r.receiver.redirectCount())...)
	}
	got.slowest = r.checkAnswers(away, back, miss)
	failed := r.ledger.count5xx()
	if n := failed[http.StatusInternalServerError]; n > 0 {
		miss("%d webhooks were answered 500", n)
	}
	if r.no5xx && len(failed) > 0 {
		miss("webhooks were answered 5xx (status: how many): %v", failed)
	}
	return got
}

// checkFlow compares the gaps between deliveries with the bars.
func (r *run) checkFlow(f flow, lasted time.Duration, miss func(string, ...any)) {
	if bar := max(r.silence, flowsAgain); f.silence > bar {
		miss("no delivery for %.1f s after the return; the bar is %v", f.silence.Seconds(), bar)
	}
	if r.gap != nil && f.gap > r.gap(lasted) {
		miss("no delivery for %.1f s from the fault's beginning, which lasted %.1f s; the bar is %.1f s",
			f.gap.Seconds(), lasted.Seconds(), r.gap(lasted).Seconds())
	}
	if bar := r.waitBar(); f.wait > bar {
		miss("an event waited for %.1f s from its acceptance or %s; the bar is %v", f.wait.Seconds(), r.target.since(), bar)
	}
}

// inFlight is how long before a fault a response may be that is not recorded yet.
const inFlight = 2 * time.Second

// checkAnswers compares the responses to webhooks sent during the fault with the bars, and
// returns the longest response time.
func (r *run) checkAnswers(away, back time.Time, miss func(string, ...any)) (worst time.Duration) {
	list := r.ledger.answersBetween(away, back)
	var accepted, refused, other int
	odd := map[string]int{}
	for _, a := range list {
		worst = max(worst, a.took)
		switch {
		case a.status/100 == 2:
			accepted++
		case a.status == http.StatusServiceUnavailable && a.retryAfter:
			refused++
		default:
			other++
			odd[fmt.Sprintf("%d (Retry-After: %t)", a.status, a.retryAfter)]++
		}
	}
	lasted := back.Sub(away).Seconds()
	if r.accepts && (float64(accepted) < acceptedPart*float64(len(list)) || float64(accepted) < lasted*rate/2) {
		miss("during the fault (%.1f s), %d of %d requests were accepted", lasted, accepted, len(list))
	}
	if r.refuses {
		if refused == 0 {
			miss("no webhook was answered 503 with Retry-After while the database was down")
		}
		if other > 0 {
			miss("%d webhooks were answered with neither 202 nor 503 with Retry-After: %v", other, odd)
		}
		if worst > refusedAfter {
			miss("a response took %.1f s while the database was down; the bar is %v", worst.Seconds(), refusedAfter)
		}
	}
	return worst
}

func firstFew(list []string) string {
	if len(list) > 5 {
		return strings.Join(list[:5], ", ") + " …"
	}
	return strings.Join(list, ", ")
}

// longestLine limits a line that is quoted from a command.
const longestLine = 300

func firstLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = append(lines[:n], "…")
	}
	for i, line := range lines {
		if len(line) > longestLine {
			lines[i] = strings.ToValidUTF8(line[:longestLine], "") + " …"
		}
	}
	return strings.Join(lines, "\n                ")
}

// columns returns a result's cells, in the order of headings.
var headings = []string{"scenario", "accepted", "delivered", "lost", "delivered twice", "longest gap", "longest silence", "longest wait", "slowest response",
	"unexpected exits", "verdict"}

func (r result) columns() []string {
	return []string{r.name, fmt.Sprint(r.accepted), fmt.Sprint(r.delivered + r.refused), fmt.Sprint(len(r.lost)), fmt.Sprint(r.twice),
		fmt.Sprintf("%.1f s", r.flow.gap.Seconds()), fmt.Sprintf("%.1f s", r.silence().Seconds()), fmt.Sprintf("%.1f s", r.flow.wait.Seconds()), fmt.Sprintf("%.1f s", r.slowest.Seconds()),
		fmt.Sprint(len(r.ended)), r.verdict()}
}

// printResults prints the table, and writes the document after a full run.
func (s *suite) printResults(results []result) error {
	table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\n"+strings.ToUpper(strings.Join(headings, "\t")))
	missed := 0
	for _, r := range results {
		fmt.Fprintln(table, strings.Join(r.columns(), "\t"))
		if !r.ok() {
			missed++
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	for _, r := range results {
		for _, f := range r.faults {
			fmt.Fprintf(s.out, "%s: %s\n", r.name, f)
		}
	}
	var err error
	if s.full() {
		err = s.document(context.Background(), results)
	}
	if missed > 0 {
		return errors.Join(err, fmt.Errorf("%d of %d scenarios missed a bar; logs and data: %s", missed, len(results), s.scratch))
	}
	fmt.Fprintf(s.out, "\nall %d scenarios passed\n", len(results))
	if !s.keep {
		s.tidy()
	}
	return err
}
