package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"

	"integration-gateway/modules/delivery"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// DeadLetterOptions are the options of `gateway dead-letters`.
type DeadLetterOptions struct {
	Filter      delivery.DeadLetterFilter
	Page        int // of a list, from 1
	PageSize    int
	JSON        bool
	DryRun      bool // only count what would be requeued
	Limit       int  // requeue at most so many; 0 for all
	RequestedBy string
	Reason      string // "" for a default that names the dead letter
	Out         io.Writer
}

// DeadLetterFilterOf reads a filter from flags. Its error names every invalid flag.
func DeadLetterFilterOf(text func(flag string) string) (delivery.DeadLetterFilter, error) {
	f, wrong := delivery.ParseDeadLetterFilter(func(name string) string { return text(FlagName(name)) })
	var parts []string
	for _, w := range wrong {
		parts = append(parts, "--"+FlagName(w.Field)+" "+w.Message)
	}
	if len(parts) > 0 {
		return f, errors.New(strings.Join(parts, "; "))
	}
	return f, nil
}

// FlagName returns the flag for an API parameter: --event-type for eventType.
func FlagName(parameter string) string {
	var flag strings.Builder
	for _, r := range parameter {
		if unicode.IsUpper(r) {
			flag.WriteByte('-')
		}
		flag.WriteRune(unicode.ToLower(r))
	}
	return flag.String()
}

// Check reports invalid options, by flag.
func (o DeadLetterOptions) Check() error {
	var wrong []error
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if o.Page < 1 {
		bad("--page must be at least 1")
	}
	if o.PageSize < 1 || o.PageSize > 100 {
		bad("--page-size must be from 1 to 100")
	}
	if o.Limit < 0 {
		bad("--limit must be at least 0")
	}
	if n := utf8.RuneCountInString(o.RequestedBy); n < 2 || n > 120 {
		bad("--requested-by must have from 2 to 120 characters")
	}
	if n := utf8.RuneCountInString(o.Reason); o.Reason != "" && (n < 5 || n > 500) {
		bad("--reason must have from 5 to 500 characters")
	}
	return errors.Join(wrong...)
}

func (o DeadLetterOptions) requester(reason string) delivery.Requester {
	if o.Reason != "" {
		reason = o.Reason
	}
	return delivery.Requester{Name: o.RequestedBy, Reason: reason, Actor: contract.ActorCLI}
}

// ListDeadLetters prints a page of dead letters, newest first.
func ListDeadLetters(ctx context.Context, cfg config.Config, log *slog.Logger, o DeadLetterOptions) error {
	g, err := openTool(ctx, cfg, log, false)
	if err != nil {
		return err
	}
	defer g.close(log)
	list, err := g.delivery.DeadLetters(ctx, o.Filter, database.Page{Number: o.Page, Size: o.PageSize})
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(o.Out, struct {
			Total           int                   `json:"total"`
			TotalIsEstimate bool                  `json:"totalIsEstimate"`
			DeadLetters     []delivery.DeadLetter `json:"deadLetters"`
		}{list.Total, list.Estimated, list.Items})
	}
	w := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tCREATED\tKIND\tSTATUS\tSOURCE\tEVENT TYPE\tEVENT\tATTEMPTS\tREASON")
	for _, d := range list.Items {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", d.ID, d.CreatedAt, d.Kind, d.Status,
			orDash(d.Source), orDash(d.EventType), orDash(d.EventID), d.Attempts, oneLine(d.Reason, 80))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the list: %w", err)
	}
	about := ""
	if list.Estimated {
		about = "about "
	}
	_, err = fmt.Fprintf(o.Out, "\n%d of %s%d\n", len(list.Items), about, list.Total)
	return err
}

// ShowDeadLetter prints one dead letter and its message as text.
func ShowDeadLetter(ctx context.Context, cfg config.Config, log *slog.Logger, deadLetterID string, o DeadLetterOptions) error {
	g, err := openTool(ctx, cfg, log, false)
	if err != nil {
		return err
	}
	defer g.close(log)
	d, err := g.delivery.DeadLetter(ctx, deadLetterID)
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(o.Out, d)
	}
	w := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
	for _, field := range []struct{ name, value string }{
		{"id", d.ID}, {"kind", d.Kind}, {"status", d.Status}, {"queue", d.Queue}, {"event", orDash(d.EventID)},
		{"destination", orDash(d.DestinationID)}, {"job", orDash(d.JobID)}, {"source", orDash(d.Source)},
		{"provider", orDash(d.Provider)}, {"event type", orDash(d.EventType)}, {"attempts", fmt.Sprint(d.Attempts)},
		{"reason", oneLine(d.Reason, 1000)}, {"created", d.CreatedAt.String()}, {"requeued", timeOrDash(d.RequeuedAt)},
		{"requeued by", orDash(d.RequeuedBy)}, {"replay request", orDash(d.ReplayRequestID)}, {"resolved", timeOrDash(d.ResolvedAt)},
	} {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", field.name, field.value)
	}
	if d.Body != nil {
		_, _ = fmt.Fprintf(w, "body\t%q\n", d.Body) // quoted: it may contain anything
	}
	return w.Flush()
}

// RequeueDeadLetter requeues one dead letter.
func RequeueDeadLetter(ctx context.Context, cfg config.Config, log *slog.Logger, deadLetterID string, o DeadLetterOptions) error {
	g, err := openTool(ctx, cfg, log, true)
	if err != nil {
		return err
	}
	defer g.close(log)
	d, err := g.delivery.RequeueDeadLetter(ctx, deadLetterID, o.requester("requeue of dead letter "+deadLetterID))
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(o.Out, d)
	}
	as := "its message is on the process queue"
	if d.ReplayRequestID != nil {
		as = "as replay request " + *d.ReplayRequestID
	}
	_, err = fmt.Fprintf(o.Out, "requeued %s: %s\n", d.ID, as)
	return err
}

// RequeueDeadLetters requeues all that match the filter, or counts them.
func RequeueDeadLetters(ctx context.Context, cfg config.Config, log *slog.Logger, o DeadLetterOptions) error {
	g, err := openTool(ctx, cfg, log, !o.DryRun)
	if err != nil {
		return err
	}
	defer g.close(log)
	done, err := g.delivery.RequeueDeadLetters(ctx, o.Filter, o.Limit, o.DryRun, o.requester("requeue of dead letters in bulk"))
	switch {
	case err != nil:
		return fmt.Errorf("after %d: %w", done.Requeued, err)
	case o.JSON:
		err = printJSON(o.Out, done)
	case o.DryRun:
		_, err = fmt.Fprintf(o.Out, "%d would be requeued\n", done.Matched)
	default:
		_, err = fmt.Fprintf(o.Out, "requeued %d of %d; %d cannot be requeued\n", done.Requeued, done.Matched, done.Failed)
	}
	if err == nil && done.Failed > 0 {
		err = fmt.Errorf("%d of %d cannot be requeued; see `gateway dead-letters show`", done.Failed, done.Matched)
	}
	return err
}

// ValidID reports whether text can be the id of a record, and returns it as stored.
func ValidID(text string) (string, bool) {
	text = strings.ToLower(text)
	return text, id.Valid(text)
}

func orDash(text *string) string {
	if text == nil {
		return "-"
	}
	return oneLine(*text, 200)
}

func timeOrDash(t *clock.Time) string {
	if t == nil {
		return "-"
	}
	return t.String()
}

// oneLine makes text safe for a terminal: text from a destination or a sender must neither
// control it nor be misleading.
func oneLine(text string, most int) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(clean); len(runes) > most {
		clean = string(runes[:most-1]) + "…"
	}
	return clean
}
