package cli

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
)

func (c *command) eventsReplay() *cobra.Command {
	cmd := &cobra.Command{
		Use: "replay EVENT --reason TEXT", Short: "Send an event again", Args: cobra.ExactArgs(1),
		Long: `Sends one event again, to all active destinations that want it, to one, or once to a URL that
is none, which needs the role admin. For many events see: gateway replays create --help`,
		Example: `  gateway events replay evt_1001 --reason "receiver was down"`,
	}
	var reason, to, by string
	var onlyFailed bool
	cmd.Flags().StringVar(&reason, "reason", "", "why, 5 to 500 characters")
	cmd.Flags().StringVar(&to, "destination", "", "only to this destination (id or URL)")
	cmd.Flags().StringVar(&by, "requested-by", "", "who asks for it (default the key's name)")
	cmd.Flags().BoolVar(&onlyFailed, "only-failed", false, "only to destinations whose last delivery of it failed")
	where := addURLFlags(cmd)
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		if reason == "" {
			return usage("events replay: give the reason with --reason")
		}
		if where.url != "" && (to != "" || onlyFailed) {
			return usage("events replay: --to-url goes neither with --destination nor with --only-failed")
		}
		eventID, err := s.eventID(ctx, args[0])
		if err != nil {
			return err
		}
		body := map[string]any{"reason": reason, "onlyFailed": onlyFailed}
		if err := where.into("events replay", body); err != nil {
			return err
		}
		if by != "" {
			body["requestedBy"] = by
		}
		if to != "" {
			d, err := s.destination(ctx, to)
			if err != nil {
				return err
			}
			body["destinationId"] = d.ID
		}
		var raw json.RawMessage
		if err := s.Post(ctx, "/events/"+eventID+"/replay", body, &raw); err != nil {
			return err
		}
		return s.done(raw, eventID, "event %s is sent again; see: gateway events status %s", eventID, eventID)
	})
	return cmd
}

// eventsNow makes the commands that change an event's waiting deliveries.
func (c *command) eventsNow(verb, short, says string, stops bool) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " EVENT", Short: short, Args: cobra.ExactArgs(1)}
	reason := cmd.Flags().String("reason", "", "why")
	to := cmd.Flags().String("destination", "", "only those to this destination (id or URL)")
	var asked *consent
	if stops {
		asked = addConsent(cmd)
	}
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		eventID, err := s.eventID(ctx, args[0])
		if err != nil {
			return err
		}
		body := map[string]any{}
		if *reason != "" {
			body["reason"] = *reason
		}
		if *to != "" {
			d, err := s.destination(ctx, *to)
			if err != nil {
				return err
			}
			body["destinationId"] = d.ID
		}
		if stops {
			if do, err := c.agreed(asked, "The waiting deliveries of event %s will end as failed.", eventID); err != nil || !do {
				return err
			}
		}
		var raw json.RawMessage
		if err := s.Post(ctx, "/events/"+eventID+"/"+verb, body, &raw); err != nil {
			return err
		}
		answer, err := output.Parse(raw)
		if err != nil {
			return err
		}
		waiting := output.TextAt(answer, "jobs") + " waiting deliveries"
		if output.TextAt(answer, "jobs") == "1" {
			waiting = "1 waiting delivery"
		}
		return s.done(raw, eventID, says, waiting, eventID)
	})
	return cmd
}

// sortedFields makes fields of a map, by name.
func sortedFields(values map[string]any) []output.Field {
	var fields []output.Field
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fields = append(fields, output.Field{Name: output.Clean(name), Text: output.TextAt(map[string]any{"v": values[name]}, "v")})
	}
	return fields
}
