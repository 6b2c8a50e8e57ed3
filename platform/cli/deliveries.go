package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/cli/output"
)

var errorKinds = []string{"http_status", "redirect", "token", "unsent", "egress_refused", "proxy", "dns", "timeout", "tls", "connection_refused", "unreachable", "connection_lost", "protocol", "other"}

func (c *command) deliveries() *cobra.Command {
	cmd := group("deliveries", "Look at the attempts to deliver events", "",
		c.list(listing{
			short: "List attempts, newest first", path: "/deliveries",
			params: []param{
				{flag: "event", name: "eventId", help: "only of this event (its id)"},
				{flag: "source", name: "source", help: "only of this source"},
				{flag: "destination", name: "destinationId", help: "only to this destination (its id)"},
				{flag: "status", name: "status", help: "only those", oneOf: []string{"success", "failed"}},
				{flag: "error-kind", name: "errorKind", help: "only those that failed so", oneOf: errorKinds},
				{flag: "http-status", name: "httpStatus", help: "only with this answer, such as 503"},
				{flag: "since", name: "createdFrom", help: "at or after: " + momentHelp, time: true},
				{flag: "until", name: "createdTo", help: "at or before", time: true},
			},
			columns: []output.Column{
				{Title: "ID", Path: "id", Kind: output.ID},
				{Title: "AT", Path: "createdAt", Kind: output.Age},
				{Title: "STATUS", Path: "status", Kind: output.State},
				{Title: "HTTP", Path: "httpStatus", Kind: output.Number},
				{Title: "TOOK", Path: "durationMs", Kind: output.Millis},
				{Title: "ERROR", Path: "errorKind"},
				{Title: "NO", Path: "attemptNo", Kind: output.Number, Wide: true},
				{Title: "MESSAGE", Path: "errorMessage", Wide: true},
				{Title: "EVENT", Path: "normalizedEventId", Kind: output.ID, Wide: true},
				{Title: "DESTINATION", Path: "destinationId", Kind: output.ID, Wide: true},
			},
			empty: "No attempt matches.",
		}),
		c.deliveriesShow())
	c.addAPIFlags(cmd)
	return cmd
}

// deliveriesShow finds an attempt among those of its event: the API has no route for one.
func (c *command) deliveriesShow() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show [ATTEMPT] --event EVENT", Short: "Show an attempt with the destination's answer", Args: cobra.MaximumNArgs(1),
		Long: `Shows one attempt of an event, by its id or number, or the last one.`,
	}
	event := cmd.Flags().String("event", "", "the event, as in gateway events show")
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		if *event == "" {
			return usage("deliveries show: give the event with --event; gateway deliveries list -o wide shows it")
		}
		eventID, err := s.eventID(ctx, *event)
		if err != nil {
			return err
		}
		var shown struct {
			Attempts []json.RawMessage `json:"deliveryAttempts"`
		}
		if _, err := s.Get(ctx, "/events/"+eventID, nil, &shown); err != nil {
			return err
		}
		raw, err := chooseAttempt(shown.Attempts, args)
		if err != nil {
			return err
		}
		return s.one(raw, "id", s.showAttempt)
	})
	return cmd
}

func chooseAttempt(all []json.RawMessage, args []string) (json.RawMessage, error) {
	if len(args) == 0 && len(all) > 0 {
		return all[len(all)-1], nil
	}
	for _, raw := range all {
		item, err := output.Parse(raw)
		if err != nil {
			return nil, err
		}
		if attemptID, _ := app.ValidID(args[0]); output.TextAt(item, "id") == attemptID || output.TextAt(item, "attemptNo") == args[0] {
			return raw, nil
		}
	}
	return nil, notFound("The event has no such attempt; it has %d.", len(all))
}

func (s *session) showAttempt(item map[string]any) error {
	err := s.out.Fields(fieldsOf(item,
		output.Column{Title: "id", Path: "id"}, output.Column{Title: "event", Path: "normalizedEventId"}, output.Column{Title: "destination", Path: "destinationId"},
		output.Column{Title: "number", Path: "attemptNo"}, output.Column{Title: "at", Path: "createdAt", Kind: output.Time},
		output.Column{Title: "status", Path: "status", Kind: output.State}, output.Column{Title: "HTTP status", Path: "httpStatus"},
		output.Column{Title: "took", Path: "durationMs", Kind: output.Millis}, output.Column{Title: "error", Path: "errorMessage"},
		output.Column{Title: "kind", Path: "errorKind"}, output.Column{Title: "refused because", Path: "refusal"}))
	body := output.TextAt(item, "responseBody")
	if err != nil || body == "" {
		return err
	}
	if err := s.out.Title("Answer"); err != nil {
		return err
	}
	return s.out.Block(body)
}
