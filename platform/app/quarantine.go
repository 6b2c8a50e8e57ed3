package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"integration-gateway/modules/ingestion"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
)

// QuarantineOptions are the options of `gateway quarantine`.
type QuarantineOptions struct {
	IntegrationOptions
	Source   string
	Reason   string
	Page     int // of a list, from 1
	PageSize int
}

// Check reports invalid options, by flag.
func (o QuarantineOptions) Check() error {
	var wrong []error
	if o.Page < 1 {
		wrong = append(wrong, errors.New("--page must be at least 1"))
	}
	if o.PageSize < 1 || o.PageSize > 100 {
		wrong = append(wrong, errors.New("--page-size must be from 1 to 100"))
	}
	return errors.Join(wrong...)
}

func (o QuarantineOptions) filter() ingestion.QuarantineFilter {
	return ingestion.QuarantineFilter{Source: o.Source, Reason: o.Reason}
}

// ListQuarantine prints a page of the refused requests, newest first.
func ListQuarantine(ctx context.Context, cfg config.Config, log *slog.Logger, o QuarantineOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		list, err := g.ingestion.Quarantined(ctx, o.filter(), database.Page{Number: o.Page, Size: o.PageSize})
		if err != nil {
			return err
		}
		if o.JSON {
			return printJSON(o.Out, struct {
				Total      int                     `json:"total"`
				Quarantine []ingestion.Quarantined `json:"quarantine"`
			}{list.Total, list.Items})
		}
		w := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "ID\tRECEIVED\tSOURCE\tFROM\tBYTES\tREPEATS\tREASON\tDETAIL")
		for _, q := range list.Items {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", q.ID, q.ReceivedAt, q.Source, q.SourceIP, q.Size, q.Repeats, q.Reason, oneLine(q.Detail, 100))
		}
		if err := w.Flush(); err != nil {
			return fmt.Errorf("print the list: %w", err)
		}
		if _, err = fmt.Fprintf(o.Out, "\n%d of %d\n", len(list.Items), list.Total); err != nil {
			return fmt.Errorf("print the list: %w", err)
		}
		return printDropped(ctx, g, o)
	})
}

// printDropped prints the sources with refused requests that are not in quarantine.
func printDropped(ctx context.Context, g *system, o QuarantineOptions) error {
	all, err := g.ingestion.SummarizeQuarantine(ctx, o.Source)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.Dropped.Requests == 0 {
			continue
		}
		var causes []string
		for _, cause := range slices.Sorted(maps.Keys(s.Dropped.Causes)) {
			causes = append(causes, fmt.Sprintf("%s %d", cause, s.Dropped.Causes[cause]))
		}
		if _, err := fmt.Fprintf(o.Out, "%s: %d refused requests are not in quarantine (%s)\n", s.Source, s.Dropped.Requests, strings.Join(causes, ", ")); err != nil {
			return fmt.Errorf("print what was dropped: %w", err)
		}
	}
	return nil
}

// ShowQuarantined prints one refused request.
func ShowQuarantined(ctx context.Context, cfg config.Config, log *slog.Logger, quarantineID string, o QuarantineOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		q, err := g.ingestion.QuarantinedByID(ctx, quarantineID)
		if err != nil {
			return err
		}
		if o.JSON {
			return printJSON(o.Out, q)
		}
		w := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
		for _, field := range []struct{ name, value string }{
			{"id", q.ID}, {"source", q.Source}, {"provider", q.Provider}, {"reason", q.Reason}, {"detail", oneLine(q.Detail, 1000)},
			{"received", q.ReceivedAt.String()}, {"from", q.SourceIP}, {"correlation", oneLine(q.CorrelationID, 200)},
			{"request", q.Method + " " + oneLine(q.URL, 500)},
		} {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", field.name, field.value)
		}
		for _, name := range slices.Sorted(maps.Keys(q.RequestHeaders)) {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", oneLine(name, 100), oneLine(q.RequestHeaders[name], 500))
		}
		_, _ = fmt.Fprintf(w, "body\t%q\n", q.RawBody) // quoted: it may contain anything
		return w.Flush()
	})
}

// ReleaseQuarantined verifies one refused request again and accepts it.
func ReleaseQuarantined(ctx context.Context, cfg config.Config, log *slog.Logger, quarantineID string, o QuarantineOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		r, err := g.ingestion.Release(ctx, quarantineID)
		switch {
		case err != nil:
			return err
		case o.JSON:
			return printJSON(o.Out, r)
		case r.Duplicate:
			_, err = fmt.Fprintf(o.Out, "released %s: duplicate of event %s\n", quarantineID, r.EventID)
		default:
			_, err = fmt.Fprintf(o.Out, "released %s as event %s\n", quarantineID, r.EventID)
		}
		return err
	})
}

// releasesAtOnce is how many of a source's requests are released in one call.
const releasesAtOnce = 1000

// ReleaseQuarantine releases a source's refused requests, oldest first. An error means that
// some are still refused.
func ReleaseQuarantine(ctx context.Context, cfg config.Config, log *slog.Logger, o QuarantineOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		all, err := g.ingestion.ReleaseAll(ctx, o.filter(), releasesAtOnce)
		if err != nil {
			return fmt.Errorf("after %d: %w", all.Released+all.Duplicates, err)
		}
		stay := 0
		for _, n := range all.Refused {
			stay += n
		}
		if o.JSON {
			err = printJSON(o.Out, all)
		} else {
			err = printReleased(o.Out, all)
		}
		if err == nil && stay > 0 {
			err = fmt.Errorf("%d of %d are still in quarantine; see `gateway quarantine show`", stay, all.Matched)
		}
		return err
	})
}

func printReleased(out io.Writer, all ingestion.ReleasedAll) error {
	if all.Matched == 0 {
		_, err := fmt.Fprintln(out, "nothing in quarantine matches")
		return err
	}
	_, err := fmt.Fprintf(out, "released %d of %d; %d were duplicates\n", all.Released+all.Duplicates, all.Matched, all.Duplicates)
	if all.Matched == releasesAtOnce {
		_, err = fmt.Fprintln(out, "there may be more: run it again")
	}
	refused := []string{}
	for _, reason := range slices.Sorted(maps.Keys(all.Refused)) {
		refused = append(refused, fmt.Sprintf("%d %s", all.Refused[reason], reason))
	}
	if len(refused) > 0 {
		_, err = fmt.Fprintf(out, "still refused: %s\n", strings.Join(refused, ", "))
	}
	return err
}
