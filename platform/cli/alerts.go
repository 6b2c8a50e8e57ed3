package cli

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/clock"
)

func (c *command) alerts() *cobra.Command {
	cmd := group("alerts", "Look at alerts, acknowledge and mute them", "",
		c.list(listing{
			short: "List alerts, newest first", path: "/alerts",
			params: []param{
				{flag: "state", name: "state", help: "only those", oneOf: []string{"open", "resolved"}},
				{flag: "condition", name: "condition", help: "only of this condition, such as destination_down"},
				{flag: "since", name: "startedFrom", help: "began at or after: " + momentHelp, time: true},
				{flag: "until", name: "startedTo", help: "began at or before", time: true},
			},
			columns: []output.Column{
				{Title: "ID", Path: "id", Kind: output.ID}, {Title: "SINCE", Path: "startedAt", Kind: output.Age}, {Title: "STATE", Path: "state", Kind: output.State},
				{Title: "SEVERITY", Path: "severity"}, {Title: "CONDITION", Path: "condition"}, {Title: "SUBJECT", Path: "subject"}, {Title: "SUMMARY", Path: "summary"},
				{Title: "RESOLVED", Path: "resolvedAt", Kind: output.Time, Wide: true}, {Title: "KNOWN TO", Path: "acknowledgedBy", Wide: true}, {Title: "NOTE", Path: "note", Wide: true},
			},
			empty: "No alert matches.",
		}),
		c.alertsAcknowledge(), c.alertsMute(), c.alertsMutes(), c.alertsUnmute(), c.alertsTest())
	c.addAPIFlags(cmd)
	return cmd
}

func (c *command) alertsAcknowledge() *cobra.Command {
	cmd := &cobra.Command{Use: "acknowledge ID --note TEXT", Short: "Say that somebody knows of an alert", Args: cobra.ExactArgs(1)}
	note := cmd.Flags().String("note", "", "who does what about it, 2 to 500 characters")
	check := func(args []string) (err error) {
		if *note == "" {
			return usage("alerts acknowledge: give a note with --note")
		}
		args[0], err = validID("alerts acknowledge", args[0])
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
	cmd := &cobra.Command{
		Use: "mute CONDITION --for DURATION --reason TEXT", Short: "Let alerts of a condition open without a notice for a time", Args: cobra.ExactArgs(1),
		Example: `  gateway alerts mute destination_down --subject acme/1 --for 2h --reason "the receiver moves"`,
	}
	subject := cmd.Flags().String("subject", "", "only of this subject; otherwise of all")
	reason := cmd.Flags().String("reason", "", "why, 2 to 500 characters")
	var lasts duration
	cmd.Flags().Var(&lasts, "for", "how long, such as 2h or 7d; at most 30d")
	check := func([]string) error {
		var missing []string
		if lasts == 0 {
			missing = append(missing, "how long with --for")
		}
		if *reason == "" {
			missing = append(missing, "the reason with --reason")
		}
		if len(missing) > 0 {
			return usage("alerts mute: give " + strings.Join(missing, " and "))
		}
		return nil
	}
	cmd.RunE = c.beforeAPI(check, func(ctx context.Context, s *session, args []string) error {
		body := map[string]any{"condition": args[0], "until": clock.System().Add(time.Duration(lasts)).Format(time.RFC3339), "reason": *reason}
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
		muteID := output.TextAt(item, "id")
		return s.done(raw, muteID, "muted %s for %s; to end it: gateway alerts unmute %s", args[0], output.Span(time.Duration(lasts)), muteID)
	})
	return cmd
}

func (c *command) alertsMutes() *cobra.Command {
	cmd := c.list(listing{
		short: "List the mutes in force", path: "/alerts/mutes", whole: true,
		params: []param{
			{flag: "since", name: "createdFrom", help: "created at or after: " + momentHelp, time: true},
			{flag: "until", name: "createdTo", help: "created at or before", time: true},
		},
		columns: []output.Column{
			{Title: "ID", Path: "id", Kind: output.ID}, {Title: "CONDITION", Path: "condition"}, {Title: "SUBJECT", Path: "subject"},
			{Title: "UNTIL", Path: "until", Kind: output.Time}, {Title: "BY", Path: "actor"}, {Title: "REASON", Path: "reason"},
			{Title: "CREATED", Path: "createdAt", Kind: output.Time, Wide: true},
		},
		empty: "Nothing is muted.",
	})
	cmd.Use = "mutes"
	return cmd
}

func (c *command) alertsUnmute() *cobra.Command {
	cmd := &cobra.Command{Use: "unmute MUTE", Short: "End a mute", Args: cobra.ExactArgs(1)}
	check := func(args []string) (err error) {
		args[0], err = validID("alerts unmute", args[0])
		return err
	}
	cmd.RunE = c.beforeAPI(check, func(ctx context.Context, s *session, args []string) error {
		if err := s.Delete(ctx, "/alerts/mutes/"+args[0], nil, nil); err != nil {
			return err
		}
		return s.done(json.RawMessage(`{}`), args[0], "ended the mute %s", args[0])
	})
	return cmd
}

func (c *command) alertsTest() *cobra.Command {
	cmd := &cobra.Command{
		Use: "test", Short: "Send a test notice to every target", Args: cobra.NoArgs,
		Long: `A worker sends it to ALERT_WEBHOOK_URL and ALERT_SLACK_URL. Exits with 4 if neither is set.`,
	}
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, _ []string) error {
		var raw json.RawMessage
		if err := s.Post(ctx, "/alerts/test", map[string]any{}, &raw); err != nil {
			return err
		}
		item, err := output.Parse(raw)
		if err != nil {
			return err
		}
		return s.done(raw, "", "a test notice goes to: %s", output.TextAt(item, "targets"))
	})
	return cmd
}
