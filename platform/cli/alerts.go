package cli

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/clock"
)

func (c *command) alerts() *cobra.Command {
	cmd := group("alerts", "Show, acknowledge and mute alerts, and change their thresholds", `An alert opens when one of the gateway's conditions has held for a while, and is resolved when
it does not hold any more. Both are sent to the targets of the settings ALERT_….`,
		c.list(listing{
			short: "List alerts, newest first", path: "/alerts",
			params: []param{
				{flag: "state", name: "state", help: "only those", oneOf: []string{"open", "resolved"}},
				{flag: "condition", name: "condition", help: "only of this condition; see: gateway alerts conditions"},
				{flag: "from", name: "startedFrom", help: "began at or after: " + momentHelp, time: true},
				{flag: "to", name: "startedTo", help: "began at or before", time: true},
			},
			columns: []output.Column{
				{Title: "ID", Path: "id", Kind: output.ID}, {Title: "BEGAN", Path: "startedAt", Kind: output.Age}, {Title: "STATE", Path: "state", Kind: output.State},
				{Title: "SEVERITY", Path: "severity"}, {Title: "SUMMARY", Path: "summary"}, {Title: "ACKNOWLEDGED", Path: "acknowledgedBy"},
				{Title: "CONDITION", Path: "condition", Wide: true}, {Title: "SUBJECT", Path: "subject", Wide: true},
				{Title: "RESOLVED", Path: "resolvedAt", Kind: output.Time, Wide: true}, {Title: "NOTE", Path: "note", Wide: true},
			},
			empty: "No alert matches.",
		}),
		c.alertsAcknowledge(), c.alertsMute(), c.alertsMutes(), c.alertsUnmute(), c.alertsConditions(), c.alertsSet(), c.alertsReset(), c.alertsTest())
	c.addAPIFlags(cmd)
	return cmd
}

func (c *command) alertsAcknowledge() *cobra.Command {
	cmd := &cobra.Command{Use: "acknowledge ID", Short: "Say that somebody knows of an alert", Args: cobra.ExactArgs(1)}
	note := cmd.Flags().String("note", "", "what is known or done, 2 to 500 characters")
	check := func(args []string) (err error) {
		if args[0], err = validID("alerts acknowledge", args[0]); err == nil && *note == "" {
			err = usage("alerts acknowledge: say what is known with --note")
		}
		return err
	}
	cmd.RunE = c.beforeAPI(check, func(ctx context.Context, s *session, args []string) error {
		var raw json.RawMessage
		if err := s.Post(ctx, "/alerts/"+args[0]+"/acknowledge", map[string]any{"note": *note}, &raw); err != nil {
			return err
		}
		return s.done(raw, args[0], "acknowledged %s", args[0])
	})
	return cmd
}

func (c *command) alertsMute() *cobra.Command {
	cmd := &cobra.Command{Use: "mute CONDITION", Short: "Let alerts of a condition open without a notice for a time", Args: cobra.ExactArgs(1),
		Example: `  gateway alerts mute destination_down --subject acme/1 --for 2h --reason "the receiver moves"`}
	subject := cmd.Flags().String("subject", "", "only of this subject, as the alerts name it (default every one)")
	reason := cmd.Flags().String("reason", "", "the reason, 2 to 500 characters")
	var lasts duration
	cmd.Flags().Var(&lasts, "for", "how long, such as 2h or 3d; at most 30d")
	check := func([]string) error {
		if lasts == 0 || *reason == "" {
			return usage("alerts mute: give --for and --reason")
		}
		return nil
	}
	cmd.RunE = c.beforeAPI(check, func(ctx context.Context, s *session, args []string) error {
		until := clock.System().Add(time.Duration(lasts)).UTC().Format(time.RFC3339)
		body := map[string]any{"condition": args[0], "until": until, "reason": *reason}
		if *subject != "" {
			body["subject"] = *subject
		}
		var raw json.RawMessage
		if err := s.Post(ctx, "/alerts/mutes", body, &raw); err != nil {
			return err
		}
		item, err := output.Parse(raw)
		if err != nil {
			return err
		}
		return s.done(raw, output.TextAt(item, "id"), "muted %s until %s; end it with: gateway alerts unmute %s", args[0], until, output.TextAt(item, "id"))
	})
	return cmd
}

func (c *command) alertsMutes() *cobra.Command {
	return c.named("mutes", c.list(listing{
		short: "List the mutes that are in force", path: "/alerts/mutes", whole: true,
		columns: []output.Column{
			{Title: "ID", Path: "id", Kind: output.ID}, {Title: "CONDITION", Path: "condition"}, {Title: "SUBJECT", Path: "subject"},
			{Title: "UNTIL", Path: "until", Kind: output.Time}, {Title: "BY", Path: "actor"}, {Title: "REASON", Path: "reason"},
		},
		empty: "Nothing is muted.",
	}))
}

// named gives a command another name.
func (c *command) named(name string, cmd *cobra.Command) *cobra.Command {
	cmd.Use = name
	return cmd
}

func (c *command) alertsUnmute() *cobra.Command {
	cmd := &cobra.Command{Use: "unmute ID", Short: "End a mute", Args: cobra.ExactArgs(1)}
	check := func(args []string) (err error) {
		args[0], err = validID("alerts unmute", args[0])
		return err
	}
	cmd.RunE = c.beforeAPI(check, func(ctx context.Context, s *session, args []string) error {
		if err := s.Delete(ctx, "/alerts/mutes/"+args[0], nil, nil); err != nil {
			return err
		}
		return s.done(json.RawMessage(`{}`), args[0], "unmuted")
	})
	return cmd
}

// inUnit writes a threshold with its unit.
func inUnit(path string) func(map[string]any) string {
	return func(item map[string]any) string {
		n, err := strconv.ParseFloat(output.TextAt(item, path), 64)
		if err != nil {
			return ""
		}
		text := strconv.FormatFloat(n, 'f', -1, 64)
		switch output.TextAt(item, "unit") {
		case "seconds":
			return output.Span(time.Duration(n * float64(time.Second)))
		case "percent":
			return text + " %"
		case "factor":
			return text + " times"
		}
		return text
	}
}

func (c *command) alertsConditions() *cobra.Command {
	return c.named("conditions", c.list(listing{
		short: "List the conditions of alerts, with their thresholds", path: "/alerts/conditions", whole: true,
		columns: []output.Column{
			{Title: "CONDITION", Path: "condition", Kind: output.ID},
			{Title: "STATE", Kind: output.State, Of: func(item map[string]any) string {
				if output.At(item, "enabled") == true {
					return "on"
				}
				return "off"
			}},
			{Title: "THRESHOLD", Of: inUnit("threshold")}, {Title: "CONFIGURED", Of: inUnit("configuredThreshold")}, {Title: "SEVERITY", Path: "severity"},
			{Title: "MEANING", Path: "meaning"},
			{Title: "CHANGED", Path: "changedAt", Kind: output.Time, Wide: true}, {Title: "BY", Path: "changedBy", Wide: true}, {Title: "REASON", Path: "reason", Wide: true},
		},
	}))
}

func (c *command) alertsSet() *cobra.Command {
	cmd := &cobra.Command{Use: "set CONDITION", Short: "Change the threshold of a condition, or turn it off", Args: cobra.ExactArgs(1),
		Long: `Replaces what was changed of a condition before: without --threshold the configured one counts,
without --off it is on. Thresholds of time are seconds, or such as 10m or 7d.`,
		Example: `  gateway alerts set jobs_overdue --threshold 10m --reason "the nightly import is slow"`}
	threshold := cmd.Flags().String("threshold", "", "in the condition's unit; see: gateway alerts conditions")
	off := cmd.Flags().Bool("off", false, "no alert of this condition opens")
	reason := cmd.Flags().String("reason", "", "the reason, 2 to 500 characters")
	body := map[string]any{}
	check := func([]string) error {
		if (*threshold == "") == !*off || *reason == "" {
			return usage("alerts set: give --threshold or --off, and --reason; see also: gateway alerts reset")
		}
		body["enabled"], body["reason"] = !*off, *reason
		if *threshold != "" {
			n, err := thresholdOf(*threshold)
			if err != nil {
				return err
			}
			body["threshold"] = n
		}
		return nil
	}
	cmd.RunE = c.beforeAPI(check, func(ctx context.Context, s *session, args []string) error {
		var raw json.RawMessage
		if err := s.Put(ctx, "/alerts/conditions/"+url.PathEscape(args[0]), body, &raw); err != nil {
			return err
		}
		item, err := output.Parse(raw)
		if err != nil {
			return err
		}
		if *off {
			return s.done(raw, args[0], "%s is off", args[0])
		}
		return s.done(raw, args[0], "%s: %s", args[0], inUnit("threshold")(item))
	})
	return cmd
}

// thresholdOf reads a number, or a time as its seconds.
func thresholdOf(text string) (float64, error) {
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		return n, nil
	}
	var d duration
	if err := d.Set(text); err != nil {
		return 0, usage("alerts set: --threshold must be a number, or a time such as 10m or 7d")
	}
	return time.Duration(d).Seconds(), nil
}

func (c *command) alertsReset() *cobra.Command {
	cmd := &cobra.Command{Use: "reset CONDITION", Short: "Return a condition to its configured threshold", Args: cobra.ExactArgs(1)}
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		if err := s.Delete(ctx, "/alerts/conditions/"+url.PathEscape(args[0]), nil, nil); err != nil {
			return err
		}
		return s.done(json.RawMessage(`{}`), args[0], "%s is as it is configured", args[0])
	})
	return cmd
}

func (c *command) alertsTest() *cobra.Command {
	cmd := &cobra.Command{Use: "test", Short: "Send a test notice to every target", Args: cobra.NoArgs}
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, _ []string) error {
		var raw json.RawMessage
		if err := s.Post(ctx, "/alerts/test", map[string]any{}, &raw); err != nil {
			return err
		}
		var said struct{ Targets []string }
		if err := json.Unmarshal(raw, &said); err != nil {
			return err
		}
		return s.done(raw, "", "a test is on its way to: %s", strings.Join(said.Targets, ", "))
	})
	return cmd
}
