package app

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"

	"integration-gateway/modules/integrations"
	"integration-gateway/platform/config"
)

// ListOptions are the options of `gateway integrations list`.
type ListOptions struct {
	IntegrationOptions
	Provider   string
	ActiveOnly bool
	Archived   bool
}

// ListIntegrations prints integrations by source.
func ListIntegrations(ctx context.Context, cfg config.Config, log *slog.Logger, o ListOptions) error {
	f := integrations.IntegrationFilter{Provider: o.Provider, ActiveOnly: o.ActiveOnly, Archived: o.Archived}
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		list, err := g.integrations.Integrations(ctx, f)
		if err != nil {
			return err
		}
		if o.JSON {
			return printJSON(o.Out, struct {
				Total        int                        `json:"total"`
				Integrations []integrations.Integration `json:"integrations"`
			}{len(list), list})
		}
		w := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "SOURCE\tPROVIDER\tNAME\tSTATE\tSECRETS\tDESTINATIONS")
		for _, i := range list {
			urls := make([]string, len(i.Destinations))
			for n, d := range i.Destinations {
				urls[n] = d.URL
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\n", i.Source, i.Provider, i.Name, stateOf(i), len(i.Secrets), strings.Join(urls, ", "))
		}
		return w.Flush()
	})
}

func stateOf(i integrations.Integration) string {
	switch {
	case i.ArchivedAt != nil:
		return "removed"
	case !i.IsActive:
		return "disabled"
	}
	return "enabled"
}

// ShowIntegration prints one integration with its secrets' metadata and destinations.
func ShowIntegration(ctx context.Context, cfg config.Config, log *slog.Logger, name string, o IntegrationOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		integrationID, err := g.named(ctx, name)
		if err != nil {
			return err
		}
		i, err := g.integrations.IntegrationByID(ctx, integrationID)
		if err != nil {
			return err
		}
		if o.JSON {
			return printJSON(o.Out, i)
		}
		w := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
		for _, field := range []struct{ name, value string }{
			{"source", i.Source}, {"id", i.ID}, {"provider", i.Provider}, {"name", i.Name}, {"state", stateOf(i)},
			{"webhooks", webhookAddress(cfg, i.Source)}, {"options", orConfigured(string(i.Options), i.Options == nil)},
			{"redacted", orNothing(strings.Join(i.Redact, ", "))},
			{"rate limit a minute", numberOf(i.RateLimitPerMinute)}, {"largest body", numberOf(i.MaxBodyBytes)},
			{"created", i.CreatedAt.String()}, {"updated", i.UpdatedAt.String()}, {"removed", timeOrDash(i.ArchivedAt)},
		} {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", field.name, field.value)
		}
		showParts(w, i)
		return w.Flush()
	})
}

func showParts(w *tabwriter.Writer, i integrations.Integration) {
	_, _ = fmt.Fprintln(w, "\nSECRET\tPURPOSE\tSTATE\tNOTE\tEXPIRES\tMATCHES\tLAST MATCH")
	for _, s := range i.Secrets {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", s.ID, s.Purpose, onOff(s.IsActive), s.Note, timeOrDash(s.ExpiresAt), s.MatchCount, timeOrDash(s.LastMatchedAt))
	}
	_, _ = fmt.Fprintln(w, "\nDESTINATION\tSTATE\tMODE\tBREAKER\tURL\tFILTER")
	for _, d := range i.Destinations {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, onOff(d.IsActive), d.Mode, d.Breaker, d.URL, oneLine(d.Filter, 80))
	}
	for _, d := range i.Destinations {
		if d.TLS != nil && len(d.TLS.Warnings) > 0 {
			_, _ = fmt.Fprintf(w, "\nof %s: %s\n", d.ID, strings.Join(d.TLS.Warnings, "; "))
		}
	}
}

func onOff(active bool) string {
	if active {
		return "active"
	}
	return "off"
}

func numberOf[N int | int64](n *N) string {
	if n == nil {
		return orConfigured("", true)
	}
	return fmt.Sprint(*n)
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

func orConfigured(text string, absent bool) string {
	if absent {
		return "as configured"
	}
	return text
}
