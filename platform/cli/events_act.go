package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
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

// mappedFields are the fields of an event that a mapping finds.
var mappedFields = []string{"externalEventId", "eventType", "subject", "occurredAt"}

func (c *command) eventsMapping() *cobra.Command {
	cmd := &cobra.Command{
		Use: "mapping EVENT [-f FILE]", Short: "Show what other options of its integration would make of an event", Args: cobra.ExactArgs(1),
		Long: `Makes a stored event again of its webhook, with the options that its source has in the file of
gateway integrations apply, or with its options of now. Nothing is stored or sent. Exits with 1
if they make no event of it. To send events so: gateway replays create --renormalize`,
		Example: `  gateway integrations export shop > shop.yaml   # change options.generic.event there
  gateway events mapping evt_1001 -f shop.yaml
  gateway integrations apply -f shop.yaml`,
	}
	path := cmd.Flags().StringP("file", "f", "", "the file, in YAML, as of gateway integrations apply (default the options of now)")
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		eventID, err := s.eventID(ctx, args[0])
		if err != nil {
			return err
		}
		var of struct {
			Event struct{ Source string }
		}
		if _, err := s.Get(ctx, "/events/"+eventID, nil, &of); err != nil {
			return err
		}
		options, err := s.optionsOf(ctx, of.Event.Source, *path)
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := s.Post(ctx, "/events/"+eventID+"/mapping", map[string]any{"options": options}, &raw); err != nil {
			return err
		}
		item, err := output.Parse(raw)
		if err != nil {
			return err
		}
		if err := s.out.One(raw, eventID, func() error { return s.showMapped(raw, item) }); err != nil {
			return err
		}
		if problem := output.TextAt(item, "problem"); problem != "" {
			return &failure{exitFailed, "these options make no event of " + eventID + ": " + output.Clean(problem)}
		}
		return nil
	})
	return cmd
}

// optionsOf returns the options of a source: those in a file, or without one those of now.
func (s *session) optionsOf(ctx context.Context, source, path string) (any, error) {
	options := any(map[string]any{})
	if path == "" {
		_, raw, err := s.integration(ctx, source)
		if err != nil {
			return nil, err
		}
		item, err := output.Parse(raw)
		if now := output.At(item, "options"); now != nil {
			options = now
		}
		return options, err
	}
	described, err := app.ReadIntegrations(path)
	if err != nil {
		return nil, &failure{exitUsage, err.Error()}
	}
	for _, each := range described {
		item, _ := each.(map[string]any)
		if item["source"] != source {
			continue
		}
		if given, is := item["options"]; is {
			return given, nil
		}
		return nil, usage("events mapping: " + path + " has no options of " + source)
	}
	return nil, usage("events mapping: " + path + " has no integration with the source of this event, " + source)
}

// showMapped shows what was stored beside what would be.
func (s *session) showMapped(raw json.RawMessage, item map[string]any) error {
	if output.At(item, "mapped") == nil {
		return nil // the problem is the command's error
	}
	fields := make([]output.Field, 0, len(mappedFields))
	for _, name := range mappedFields {
		before, after := output.TextAt(item, "stored."+name), output.TextAt(item, "mapped."+name)
		if before != after {
			after = before + " → " + after
		}
		fields = append(fields, output.Field{Name: name, Text: after})
	}
	if err := s.out.Fields(fields); err != nil {
		return err
	}
	if output.At(item, "changed") != true {
		return s.out.Say("\nthe same event as was stored")
	}
	var of struct {
		Mapped struct{ Payload json.RawMessage }
	}
	var payload bytes.Buffer
	if err := json.Unmarshal(raw, &of); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if err := json.Indent(&payload, of.Mapped.Payload, "", "  "); err != nil { // numbers and the order of fields stay
		return fmt.Errorf("print the event: %w", err)
	}
	if err := s.out.Title("The event would be"); err != nil {
		return err
	}
	return s.out.Block(payload.String())
}

// sortedFields makes fields of a map, by name.
func sortedFields(values map[string]any) []output.Field {
	var fields []output.Field
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fields = append(fields, output.Field{Name: output.Clean(name), Text: output.TextAt(map[string]any{"v": values[name]}, "v")})
	}
	return fields
}
