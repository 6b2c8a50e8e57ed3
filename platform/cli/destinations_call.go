package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/clock"
)

func (c *command) destinationsPause() *cobra.Command {
	cmd := &cobra.Command{
		Use: "pause DESTINATION", Short: "Stop deliveries to a destination; its events wait", Args: cobra.ExactArgs(1),
		Long: `Stops deliveries to a destination: its events wait, and nothing is lost. With --for it is
resumed by itself after that time. Of a paused one it changes the end and the reason. Needs the
role operator.`,
		Example: `  gateway destinations pause https://orders.example.com/hooks --for 2h --reason "the receiver moves"`,
	}
	var lasts duration
	cmd.Flags().Var(&lasts, "for", "resume it after this time, such as 2h or 3d; at most 30d (default never)")
	reason := cmd.Flags().String("reason", "", "why, 2 to 500 characters; shown, and in the audit trail")
	asked := addConsent(cmd)
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		d, err := s.destination(ctx, args[0])
		if err != nil {
			return err
		}
		body, end := map[string]any{}, "until it is resumed"
		if lasts != 0 {
			until := clock.System().Add(time.Duration(lasts)).UTC().Format(time.RFC3339)
			body["until"], end = until, "until "+until
		}
		if *reason != "" {
			body["reason"] = *reason
		}
		if !d.IsActive && len(body) == 0 {
			return s.out.Say("%s of %s is already paused", d.URL, d.Source)
		}
		if d.IsActive {
			if do, err := c.agreed(asked, "Deliveries to %s of %s will stop; its events wait %s.", d.URL, d.Source, end); err != nil || !do {
				return err
			}
		}
		var raw json.RawMessage
		if err := s.Post(ctx, d.path("pause"), body, &raw); err != nil {
			return err
		}
		return s.done(raw, d.ID, "paused %s of %s %s", d.URL, d.Source, end)
	})
	return cmd
}

func (c *command) destinationsResume() *cobra.Command {
	cmd := &cobra.Command{Use: "resume DESTINATION", Short: "Deliver to a destination again, also what waited", Args: cobra.ExactArgs(1)}
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		d, err := s.destination(ctx, args[0])
		if err != nil {
			return err
		}
		if d.IsActive {
			return s.out.Say("%s of %s is already active", d.URL, d.Source)
		}
		var raw json.RawMessage
		if err := s.Post(ctx, d.path("resume"), map[string]any{}, &raw); err != nil {
			return err
		}
		return s.done(raw, d.ID, "resumed %s of %s", d.URL, d.Source)
	})
	return cmd
}

// path is the path of an action on the destination.
func (d destination) path(action string) string {
	return "/integrations/" + d.IntegrationID + "/destinations/" + d.ID + "/" + action
}

func (c *command) destinationsTest() *cobra.Command {
	cmd := &cobra.Command{
		Use: "test DESTINATION", Short: "Send one request to a destination, and show its answer", Args: cobra.ExactArgs(1),
		Long: `Sends a sample, a stored event's content, or an event from a file, signed and transformed as
deliveries are, and through the rules for egress. It is no delivery: it has an id of its own and
the header X-Gateway-Test, and changes no event. It goes also to a paused destination. Exits
with 1 if the destination does not answer with 2xx.`,
		Example: `  gateway destinations test https://orders.example.com/hooks
  gateway destinations test https://orders.example.com/hooks --event evt_1001
  gateway destinations test https://orders.example.com/hooks --file event.json`,
	}
	event := cmd.Flags().String("event", "", "send the content of this event")
	file := cmd.Flags().String("file", "", "send the event in this file; - for the standard input")
	cmd.MarkFlagsMutuallyExclusive("event", "file")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		body := map[string]any{}
		if *file != "" {
			payload, err := readEvent(*file, cmd.InOrStdin())
			if err != nil {
				return err
			}
			body["payload"] = payload
		}
		return c.onAPI(func(ctx context.Context, s *session, args []string) error {
			if *event != "" {
				eventID, err := s.eventID(ctx, *event)
				if err != nil {
					return err
				}
				body["eventId"] = eventID
			}
			return s.testDestination(ctx, args[0], body)
		})(cmd, args)
	}
	return cmd
}

// readEvent reads the JSON object in a file.
func readEvent(path string, stdin io.Reader) (json.RawMessage, error) {
	read := func() ([]byte, error) { return os.ReadFile(path) }
	if path == "-" {
		read = func() ([]byte, error) { return io.ReadAll(stdin) }
	}
	text, err := read()
	if err != nil {
		return nil, usage("destinations test: --file: " + err.Error())
	}
	if text = bytes.TrimSpace(text); !json.Valid(text) || text[0] != '{' {
		return nil, usage("destinations test: --file must hold a JSON object: the event to send")
	}
	return text, nil
}

func (s *session) testDestination(ctx context.Context, name string, body map[string]any) error {
	d, err := s.destination(ctx, name)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := s.Post(ctx, d.path("test"), body, &raw); err != nil {
		return err
	}
	item, err := output.Parse(raw)
	if err != nil {
		return err
	}
	received := output.At(item, "received") == true
	if err := s.out.One(raw, output.TextAt(item, "eventId"), func() error { return s.showTest(d, item, received) }); err != nil {
		return err
	}
	if !received {
		return &failure{exitFailed, fmt.Sprintf("%s of %s did not receive it: %s", d.URL, d.Source, output.TextAt(item, "error"))}
	}
	return nil
}

func (s *session) showTest(d destination, item map[string]any, received bool) error {
	state := "failed"
	if received {
		state = "delivered"
	}
	fields := append([]output.Field{{Name: "destination", Text: d.URL, Kind: output.URL}, {Name: "result", Text: state, Kind: output.State}}, fieldsOf(item,
		output.Column{Title: "HTTP status", Path: "status"}, output.Column{Title: "error", Path: "error"},
		output.Column{Title: "took", Path: "durationMs", Kind: output.Millis}, output.Column{Title: "webhook-id", Path: "eventId"})...)
	headers, _ := output.At(item, "headers").(map[string]any)
	if err := s.out.Fields(append(fields, sortedFields(headers)...)); err != nil {
		return err
	}
	if text := output.TextAt(item, "body"); text != "" {
		if err := s.out.Title("Answer"); err != nil {
			return err
		}
		if err := s.out.Block(text); err != nil {
			return err
		}
	}
	if output.At(item, "wanted") == false {
		return s.out.Say("\nIts filter would leave such an event out.")
	}
	return nil
}

func (c *command) destinationsProbe() *cobra.Command {
	cmd := &cobra.Command{
		Use: "probe DESTINATION", Short: "Let an open breaker probe now", Args: cobra.ExactArgs(1),
		Long: `Lets the next waiting delivery through an open breaker now, instead of when the wait is over.
Its answer decides whether the breaker closes. Without a waiting delivery nothing is sent; see:
gateway destinations test. Exits with 4 if the breaker is closed.`,
	}
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		d, err := s.destination(ctx, args[0])
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := s.Post(ctx, d.path("probe"), map[string]any{}, &raw); err != nil {
			return err
		}
		return s.done(raw, d.ID, "%s of %s is probed with the next waiting delivery", d.URL, d.Source)
	})
	return cmd
}
