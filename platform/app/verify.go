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
)

// VerifyOptions are what `gateway verify` is told on the command line.
type VerifyOptions struct {
	Repair bool
	JSON   bool
	Limit  int // problems listed for each check
	Grace  time.Duration
	Out    io.Writer
}

// Verify reads the books of the system and prints what they say. Its error says that
// they do not hold, or could not be read.
func Verify(ctx context.Context, cfg config.Config, log *slog.Logger, o VerifyOptions) error {
	g, err := openTool(ctx, cfg, log, true)
	if err != nil {
		return err
	}
	defer g.close(log)
	deps := verify.Deps{DB: g.db, Now: clock.System, Repairer: g.delivery}
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
		return booksError(report.Left())
	}
	return nil
}

// booksError is the end of a verification that refutes the books: so many problems.
type booksError int

func (n booksError) Error() string {
	if n == 1 {
		return "the books do not hold: 1 problem"
	}
	return fmt.Sprintf("the books do not hold: %d problems", int(n))
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
	if len(r.Queues) > 0 {
		line()
		line("QUEUES", "ready")
		for _, role := range []string{"process", "replay", "dead"} {
			if depth := r.Queues[role]; depth != nil {
				line(role, *depth)
			} else {
				line(role, "RabbitMQ does not say")
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

// row is a source's line: its name, its counts and what follows.
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
		text.WriteString("\nThe books hold.\n")
	case r.Holds:
		fmt.Fprintf(text, "\nThe books hold again: %d repaired.\n", r.Total.Repaired)
	}
}

func describe(p verify.Problem) string {
	var parts []string
	for _, part := range []struct{ name, value string }{
		{"source", p.Source}, {"event", p.EventID}, {"destination", p.DestinationID}, {"job", p.JobID},
		{"replay request", p.ReplayRequestID}, {"key", p.IdempotencyKey},
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
