package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
)

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
	if err := s.Post(ctx, "/integrations/"+d.IntegrationID+"/destinations/"+d.ID+"/test", body, &raw); err != nil {
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
		if err := s.Post(ctx, "/integrations/"+d.IntegrationID+"/destinations/"+d.ID+"/probe", map[string]any{}, &raw); err != nil {
			return err
		}
		return s.done(raw, d.ID, "%s of %s is probed with the next waiting delivery", d.URL, d.Source)
	})
	return cmd
}
