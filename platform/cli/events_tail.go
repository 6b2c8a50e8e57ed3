package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/client"
)

var tailParams = []param{
	{flag: "kind", name: "kind", help: "only these messages", oneOf: []string{"received", "status", "refused"}},
	{flag: "source", name: "source", help: "only of this source"},
	{flag: "provider", name: "provider", help: "only of this provider"},
	{flag: "type", name: "eventType", help: "only of this type"},
	{flag: "status", name: "status", help: "only those", oneOf: eventStates},
	{flag: "subject", name: "subject", help: "only with this text in the subject"},
}

func (c *command) eventsTail() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tail", Short: "Follow events as they are received, delivered and refused", Args: cobra.NoArgs,
		Long: `Prints what happens from now on, until interrupted, and resumes where it was after an
interruption. With -o json or jsonl it prints one line for each message.`,
	}
	f := addFilters(cmd, tailParams)
	var after string
	var most int
	cmd.Flags().StringVar(&after, "after", "", "resume behind the message with this id")
	cmd.Flags().IntVarP(&most, "limit", "n", 0, "end after so many; 0 for never")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		query, err := f.query()
		if err != nil {
			return err
		}
		return c.onAPI(func(ctx context.Context, s *session, _ []string) error {
			t := &tail{s: s, most: most, shown: map[string]bool{}}
			err := s.Stream(ctx, "/events/stream", query, after, t.message, func(err error) { c.warn("%s; waiting for it", err) })
			if errors.Is(err, errEnough) {
				return nil
			}
			return err
		})(cmd, args)
	}
	return cmd
}

// tail prints the messages of a stream.
type tail struct {
	s          *session
	seen, most int
	shown      map[string]bool // the latest messages' ids: a resumed stream repeats some
}

// mostShown bounds what is remembered of messages.
const mostShown = 20_000

// errEnough ends a stream.
var errEnough = errors.New("enough")

func (t *tail) message(m client.Message) error {
	if m.Event == "end" { // the gateway says why it closes the stream
		return nil
	}
	item, err := output.Parse(m.Data)
	if err != nil {
		return err
	}
	if entryID := output.TextAt(item, "id"); entryID != "" {
		if t.shown[entryID] {
			return nil
		}
		if len(t.shown) >= mostShown {
			clear(t.shown)
		}
		t.shown[entryID] = true
	}
	if err := t.print(m, item); err != nil {
		return err
	}
	if t.seen++; t.most > 0 && t.seen >= t.most {
		return errEnough
	}
	return nil
}

func (t *tail) print(m client.Message, item map[string]any) error {
	if !t.s.out.ForPeople() {
		line, err := json.Marshal(struct {
			ID    string          `json:"id"`
			Event string          `json:"event"`
			Data  json.RawMessage `json:"data"`
		}{m.ID, m.Event, m.Data})
		if err != nil {
			return fmt.Errorf("print a message: %w", err)
		}
		if t.s.c.api.quiet {
			line = []byte(firstOf(item, "eventId", "event.id", "id"))
		}
		_, err = fmt.Fprintf(t.s.c.stdout, "%s\n", line)
		return err
	}
	what := firstOf(item, "status", "event.status", "details.reason", "reason")
	if m.Event != "" && m.Event != "message" && m.Event != what {
		what = strings.TrimSpace(m.Event + " " + what)
	}
	at := firstOf(item, "at", "updatedAt", "receivedAt", "event.receivedAt", "createdAt")
	if len(at) >= len("2026-01-05T10:00:00.000") {
		at = at[11:23]
		if t.s.c.api.utc {
			at = firstOf(item, "at", "updatedAt", "receivedAt", "event.receivedAt", "createdAt")
		}
	}
	return t.s.out.Line([]output.Field{{Text: at}, {Text: what, Kind: output.State}, {Text: firstOf(item, "source", "event.source")},
		{Text: firstOf(item, "eventType", "event.eventType", "detail", "details.detail")}, {Text: firstOf(item, "subject", "event.subject")},
		{Text: firstOf(item, "eventId", "event.id")}, {Text: firstOf(item, "details.error", "lastError", "error")}}, []int{12, 20, 12, 20, 0, 0, 0})
}

// firstOf returns the first text that there is.
func firstOf(item map[string]any, paths ...string) string {
	for _, path := range paths {
		if text := output.TextAt(item, path); text != "" {
			return text
		}
	}
	return ""
}
