package cli

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
)

var windows = []string{"5m", "1h", "24h", "7d"}

func (c *command) stats() *cobra.Command {
	cmd := &cobra.Command{
		Use: "stats", Short: "Show what was received, refused and delivered, and what waits", Args: cobra.NoArgs,
		Long: `Shows the figures of each source and destination over a window, and what waits now. All windows
and more figures are in -o json.`,
		Example: `  gateway stats --window 24h --source acme`,
	}
	c.addAPIFlags(cmd)
	source := cmd.Flags().String("source", "", "only of this source")
	window := cmd.Flags().String("window", "1h", "how far back: 5m, 1h, 24h or 7d")
	_ = cmd.RegisterFlagCompletionFunc("window", cobra.FixedCompletions(windows, cobra.ShellCompDirectiveNoFileComp))
	var every time.Duration
	addWatch(cmd, &every)
	check := func([]string) error {
		if !contains(windows, *window) {
			return usage("stats: --window must be " + orList(windows))
		}
		return nil
	}
	cmd.RunE = c.beforeAPI(check, func(ctx context.Context, s *session, _ []string) error {
		return s.watched(ctx, every, func() error {
			query := url.Values{}
			if *source != "" {
				query.Set("source", *source)
			}
			var raw json.RawMessage
			if _, err := s.Get(ctx, "/stats", query, &raw); err != nil {
				return err
			}
			return s.one(raw, "at", func(item map[string]any) error { return s.showStats(item, *window) })
		})
	})
	return cmd
}

// lag writes seconds as a span; nothing for 0.
func lag(path string) func(map[string]any) string {
	return func(item map[string]any) string {
		seconds, _ := strconv.ParseFloat(output.TextAt(item, path), 64)
		if seconds < 1 {
			return ""
		}
		return output.Span(time.Duration(seconds * float64(time.Second)))
	}
}

// rounded writes milliseconds without a fraction.
func rounded(path string) func(map[string]any) string {
	return func(item map[string]any) string {
		ms, err := strconv.ParseFloat(output.TextAt(item, path), 64)
		if err != nil {
			return ""
		}
		return strconv.FormatFloat(ms, 'f', 0, 64)
	}
}

func (s *session) showStats(item map[string]any, window string) error {
	over := "over." + window + "."
	err := s.table(item, "sources", "Sources, last "+window, []output.Column{
		{Title: "SOURCE", Path: "source", Kind: output.ID}, {Title: "ACCEPTED", Path: over + "accepted", Kind: output.Number},
		{Title: "REPEATS", Path: over + "duplicate", Kind: output.Number}, {Title: "REFUSED", Path: over + "refused", Kind: output.Number},
		{Title: "WAITING", Path: "now.waiting", Kind: output.Number}, {Title: "OLDEST DUE", Of: lag("now.oldestDueSeconds")},
		{Title: "DEAD", Path: "now.deadLetters", Kind: output.Number}, {Title: "QUARANTINE", Path: "now.quarantine", Kind: output.Number},
		{Title: "DELIVERED", Path: over + "delivered", Kind: output.Number, Wide: true}, {Title: "REFUSED BY", Path: over + "refusedBy", Wide: true},
	})
	if err != nil {
		return err
	}
	err = s.table(item, "destinations", "Destinations, last "+window, []output.Column{
		{Title: "DESTINATION", Path: "name", Kind: output.URL}, {Title: "DELIVERED", Path: over + "delivered", Kind: output.Number},
		{Title: "FAILED", Path: over + "failedAttempts", Kind: output.Number}, {Title: "P95", Of: rounded(over + "attempts.p95Ms"), Kind: output.Millis},
		{Title: "WAITING", Path: "now.waiting", Kind: output.Number}, {Title: "OLDEST DUE", Of: lag("now.oldestDueSeconds")},
		{Title: "BREAKER", Path: "now.breaker", Kind: output.State}, {Title: "SOURCE", Path: "source"},
		{Title: "PARKED", Path: "now.parked", Kind: output.Number, Wide: true}, {Title: "BECAUSE", Path: "now.parkedReason", Wide: true},
		{Title: "FAILED BY", Path: over + "failedBy", Wide: true}, {Title: "END TO END P95", Of: rounded(over + "endToEnd.p95Ms"), Kind: output.Millis, Wide: true},
		{Title: "ID", Path: "destinationId", Kind: output.ID, Wide: true},
	})
	if err != nil || output.At(item, "gateway") == nil {
		return err
	}
	if err := s.out.Title("Gateway"); err != nil {
		return err
	}
	bytes, _ := strconv.ParseFloat(output.TextAt(item, "gateway.disk.bytes"), 64)
	rate := func(path string) string {
		n, _ := strconv.ParseFloat(output.TextAt(item, path), 64)
		return strconv.FormatFloat(n, 'f', 2, 64)
	}
	return s.out.Fields([]output.Field{
		{Name: "accepted a second", Text: rate("gateway.rates.acceptedPerSecond")},
		{Name: "delivered a second", Text: rate("gateway.rates.deliveredPerSecond")},
		{Name: "outbox lag", Text: lag("gateway.outboxLagSeconds")(item)}, {Name: "seal lag", Text: lag("gateway.sealLagSeconds")(item)},
		{Name: "disk", Text: strconv.FormatFloat(bytes/(1<<20), 'f', 1, 64) + " MiB"},
	})
}
