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

// result is what became of a scenario.
type result struct {
	scenario
	tally
	flow
	ended  []string // processes that ended by themselves
	worst  time.Duration
	faults []string // bars that were missed
}

func (r result) ok() bool { return len(r.faults) == 0 }

func (r result) verdict() string {
	if r.ok() {
		return "held"
	}
	return "MISSED"
}

func (r result) String() string {
	line := fmt.Sprintf("%s: %s: accepted %d, delivered %d, lost %d, twice %d, silence %.1f s, longest wait %.1f s",
		r.name, r.verdict(), r.accepted, r.delivered+r.refused, len(r.lost), r.twice, r.silence().Seconds(), r.wait.Seconds())
	for _, f := range r.faults {
		line += "\n              - " + f
	}
	return line
}

func (r result) silence() time.Duration { return r.flow.silence }

// result holds what happened against the bars.
func (r *run) result(err error) result {
	r.mu.Lock()
	away, back, stopped := r.awayAt, r.backAt, r.stoppedAt
	got := result{scenario: r.scenario, faults: r.faults}
	r.mu.Unlock()
	miss := func(format string, args ...any) { got.faults = append(got.faults, fmt.Sprintf(format, args...)) }
	if err != nil {
		miss("%s", firstLines(err.Error(), 12))
	}
	got.tally = r.ledger.sum(away.Add(-inFlight), back.Add(inFlight/2))
	got.flow = r.ledger.flow(back, stopped, r.late)
	got.ended = r.supervisor.ended
	if len(got.lost) > 0 {
		miss("%d lost: %s", len(got.lost), some(got.lost))
	}
	if len(got.unaccepted) > 0 {
		miss("%d were never accepted: %s", len(got.unaccepted), some(got.unaccepted))
	}
	if got.accepted == 0 {
		miss("no webhook was accepted")
	}
	if got.twice > 0 && !r.repeats {
		miss("%d were delivered twice, though nothing was killed that had them", got.twice)
	} else if len(got.strays) > 0 {
		miss("%d were delivered twice, though not in flight at the fault: %s", len(got.strays), some(got.strays))
	}
	if len(r.ledger.strange) > 0 {
		miss("deliveries contradict the answers: %s", some(r.ledger.strange))
	}
	if bar := max(r.silence, flowsAgain); got.silence() > bar {
		miss("no delivery for %.1f s after the return; the bar is %v", got.silence().Seconds(), bar)
	}
	if got.wait > longestWait {
		miss("an event waited for %.1f s after the return; the bar is %v", got.wait.Seconds(), longestWait)
	}
	for _, p := range append(got.ended, panics(r.dir)...) {
		miss("%s", p)
	}
	if r.memory > 0 && (r.peak == 0 || r.peak > r.memory) {
		miss("serve had %d MB in memory; the bar is %d MB", r.peak>>20, r.memory>>20)
	}
	if r.treatment != nil {
		got.faults = append(got.faults, r.treatment.complaints(r.receiver.led())...)
	}
	got.worst = r.answers(away, back, miss)
	return got
}

// inFlight is how long before a fault a delivery may have arrived that had no outcome yet.
const inFlight = 2 * time.Second

// answers holds the answers to webhooks that were sent during the fault against the
// bars, and gives the longest time that one took.
func (r *run) answers(away, back time.Time, miss func(string, ...any)) (worst time.Duration) {
	list := r.ledger.during(away, back)
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
		miss("while it lasted (%.1f s), %d of %d requests were accepted", lasted, accepted, len(list))
	}
	if r.refuses {
		if refused == 0 {
			miss("no webhook was answered 503 with Retry-After while the database was away")
		}
		if other > 0 {
			miss("%d webhooks were answered otherwise than 202, or 503 with Retry-After: %v", other, odd)
		}
		if worst > refusedAfter {
			miss("an answer took %.1f s while the database was away; the bar is %v", worst.Seconds(), refusedAfter)
		}
	}
	return worst
}

func some(list []string) string {
	if len(list) > 5 {
		return strings.Join(list[:5], ", ") + " …"
	}
	return strings.Join(list, ", ")
}

func firstLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = append(lines[:n], "…")
	}
	return strings.Join(lines, "\n                ")
}

// columns are a result's cells, in the order of headings.
var headings = []string{"scenario", "accepted", "delivered", "lost", "delivered twice", "longest silence", "longest wait", "slowest answer",
	"ended by themselves", "verdict"}

func (r result) columns() []string {
	return []string{r.name, fmt.Sprint(r.accepted), fmt.Sprint(r.delivered + r.refused), fmt.Sprint(len(r.lost)), fmt.Sprint(r.twice),
		fmt.Sprintf("%.1f s", r.silence().Seconds()), fmt.Sprintf("%.1f s", r.wait.Seconds()), fmt.Sprintf("%.1f s", r.worst.Seconds()),
		fmt.Sprint(len(r.ended)), r.verdict()}
}

// conclude prints the table, and writes the document after a full run.
func (s *suite) conclude(results []result) error {
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
	fmt.Fprintf(s.out, "\nall %d scenarios held\n", len(results))
	if !s.keep {
		s.tidy()
	}
	return err
}
