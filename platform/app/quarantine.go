package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"integration-gateway/modules/ingestion"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
)

// QuarantineOptions are what `gateway quarantine` is told.
type QuarantineOptions struct {
	IntegrationOptions
	Source   string
	Reason   string
	Page     int // of a list, from 1
	PageSize int
}

// Check reports what is wrong with the options, by flag.
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

// ListQuarantine prints a page of the refused requests, the newest first.
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
		_, _ = fmt.Fprintln(w, "ID\tRECEIVED\tSOURCE\tFROM\tBYTES\tREASON\tDETAIL")
		for _, q := range list.Items {
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", q.ID, q.ReceivedAt, q.Source, q.SourceIP, q.Size, q.Reason, oneLine(q.Detail, 100))
		}
		if err := w.Flush(); err != nil {
			return fmt.Errorf("print the list: %w", err)
		}
		_, err = fmt.Fprintf(o.Out, "\n%d of %d\n", len(list.Items), list.Total)
		return err
	})
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
		_, _ = fmt.Fprintf(w, "body\t%q\n", q.RawBody) // quoted: it may hold anything
		return w.Flush()
	})
}

// ReleaseQuarantined verifies one refused request again and takes it in.
func ReleaseQuarantined(ctx context.Context, cfg config.Config, log *slog.Logger, quarantineID string, o QuarantineOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		r, err := g.ingestion.Release(ctx, quarantineID)
		switch {
		case err != nil:
			return err
		case o.JSON:
			return printJSON(o.Out, r)
		case r.Duplicate:
			_, err = fmt.Fprintf(o.Out, "released %s: its event %s was known already\n", quarantineID, r.EventID)
		default:
			_, err = fmt.Fprintf(o.Out, "released %s as event %s\n", quarantineID, r.EventID)
		}
		return err
	})
}

// releasesAtOnce is how many of a source's requests are looked at in one go.
const releasesAtOnce = 1000

// ReleaseQuarantine releases the refused requests of a source, oldest first.
func ReleaseQuarantine(ctx context.Context, cfg config.Config, log *slog.Logger, o QuarantineOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		all, err := g.ingestion.ReleaseAll(ctx, o.filter(), releasesAtOnce)
		switch {
		case err != nil:
			return fmt.Errorf("after %d: %w", all.Released+all.Duplicates, err)
		case o.JSON:
			return printJSON(o.Out, all)
		}
		refused := []string{}
		for _, reason := range slices.Sorted(maps.Keys(all.Refused)) {
			refused = append(refused, fmt.Sprintf("%d %s", all.Refused[reason], reason))
		}
		_, _ = fmt.Fprintf(o.Out, "released %d of %d; the events of %d were known already\n", all.Released+all.Duplicates, all.Matched, all.Duplicates)
		if len(refused) > 0 {
			_, err = fmt.Fprintf(o.Out, "refused still: %s\n", strings.Join(refused, ", "))
		}
		return err
	})
}
