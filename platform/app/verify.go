package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"integration-gateway/modules/verify"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
)

// The check that runs by itself ignores what has changed within its grace period, and reads a
// twentieth of the time.
const (
	checkGrace = time.Minute
	checkShare = .05
)

// VerifyOptions are the options of `gateway verify`.
type VerifyOptions struct {
	Repair bool
	JSON   bool
	Limit  int // problems listed per check
	Grace  time.Duration
	Out    io.Writer
}

// Verify runs the consistency check and prints the report. An error means that problems
// remain, or that the records could not be read.
func Verify(ctx context.Context, cfg config.Config, log *slog.Logger, o VerifyOptions) error {
	g, err := openTool(ctx, cfg, log, true)
	if err != nil {
		return err
	}
	defer g.close(log)
	deps := verify.Deps{DB: g.db, Now: clock.System, Repairer: repairer{g}}
	if !cfg.RabbitMQ.URL.Empty() {
		deps.Queues = g.broker
	}
	report, err := verify.New(verify.Config{Repair: o.Repair, Limit: o.Limit, Grace: o.Grace}, deps).Run(ctx)
	if err != nil {
		return err
	}
	if o.JSON {
		err = printJSON(o.Out, report)
	} else {
		err = printReport(o.Out, report)
	}
	if err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	if !report.Holds {
		return problemsError(report.Remaining())
	}
	return nil
}

// repairer lets the module that owns a record repair its damage.
type repairer struct{ *system }

// Repair repairs d, if it still exists.
func (r repairer) Repair(ctx context.Context, d contract.Damage) (done bool, err error) {
	if d.Kind == contract.DamageRewind {
		return r.processes.Acknowledge(ctx, d.RewindID)
	}
	return r.delivery.Repair(ctx, d)
}

// problemsError ends a consistency check with so many remaining problems.
type problemsError int

func (n problemsError) Error() string {
	if n == 1 {
		return "the consistency check failed: 1 problem"
	}
	return fmt.Sprintf("the consistency check failed: %d problems", int(n))
}

func printReport(out io.Writer, r verify.Report) error {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	line := func(cells ...any) {
		for _, c := range cells {
			_, _ = fmt.Fprint(w, c, "\t")
		}
		_, _ = fmt.Fprintln(w)
	}
	eventStatuses := []string{"pending", "processing", "processed", "retrying", "failed"}
	jobStatuses := []string{"queued", "running", "succeeded", "failed", "parked"}
	line("EVENTS", "pending", "processing", "processed", "retrying", "failed", "problems", "repaired")
	for _, s := range append(slices.Clone(r.Sources), r.Total) {
		line(row(s.Name, s.Events, eventStatuses, s.Problems, s.Repaired)...)
	}
	line()
	line("JOBS", "queued", "running", "succeeded", "failed", "parked")
	for _, s := range append(slices.Clone(r.Sources), r.Total) {
		line(row(s.Name, s.Jobs, jobStatuses)...)
	}
	line()
	line("DEAD LETTERS", "open", "requeued", "resolved")
	for _, kind := range []string{"exhausted", "refused", "unreadable"} {
		d := r.DeadLetters[kind]
		line(kind, d.Open, d.Requeued, d.Resolved)
	}
	if r.Total.Examples > 0 {
		line()
		line(fmt.Sprintf("%d of the events above, with their jobs and dead letters, are examples from gateway seed.", r.Total.Examples))
	}
	if len(r.Queues) > 0 {
		line()
		line("QUEUES", "ready")
		for _, role := range []string{"process", "replay", "dead"} {
			if depth := r.Queues[role]; depth != nil {
				line(role, *depth)
			} else {
				line(role, "not available")
			}
		}
	}
	line()
	line("CHECK", "found", "repaired", "promise")
	for _, name := range verify.CheckNames() {
		c := r.Checks[name]
		line(name, c.Found, c.Repaired, c.Promise)
	}
	_ = w.Flush()
	printProblems(&text, r)
	_, err := io.WriteString(out, text.String())
	return err
}

// row returns a source's table row: its name, its counts and what follows.
func row(name string, counts map[string]int, columns []string, rest ...int) []any {
	if name == "" {
		name = "all"
	}
	cells := []any{name}
	for _, c := range columns {
		cells = append(cells, counts[c])
	}
	for _, n := range rest {
		cells = append(cells, n)
	}
	return cells
}

func printProblems(text *strings.Builder, r verify.Report) {
	for _, name := range verify.CheckNames() {
		c := r.Checks[name]
		if c.Found == 0 {
			continue
		}
		fmt.Fprintf(text, "\n%s: %d\n", name, c.Found)
		for _, p := range c.Problems {
			fmt.Fprintf(text, "  %s\n", describe(p))
		}
		if more := c.Found - len(c.Problems); more > 0 {
			fmt.Fprintf(text, "  and %d more; --limit lists more of them\n", more)
		}
	}
	switch {
	case r.Found() == 0:
		text.WriteString("\nThe consistency check passed.\n")
	case r.Holds:
		fmt.Fprintf(text, "\nThe consistency check passed after %s.\n", count(r.Total.Repaired, "repair"))
	}
}

func describe(p verify.Problem) string {
	var parts []string
	for _, part := range []struct{ name, value string }{
		{"source", p.Source}, {"event", p.EventID}, {"destination", p.DestinationID}, {"job", p.JobID},
		{"replay request", p.ReplayRequestID}, {"key", p.IdempotencyKey}, {"rewind", p.RewindID},
	} {
		if part.value != "" {
			parts = append(parts, part.name+" "+part.value)
		}
	}
	text := strings.Join(parts, ", ")
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	switch {
	case p.Repaired:
		text += " (repaired)"
	case p.RepairError != "":
		text += " (not repaired: " + p.RepairError + ")"
	}
	return text
}
