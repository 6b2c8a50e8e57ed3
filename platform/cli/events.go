package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/cli/output"
)

var eventStates = []string{"pending", "processing", "processed", "retrying", "failed"}

var eventParams = []param{
	{flag: "source", name: "source", help: "only of this source"},
	{flag: "provider", name: "provider", help: "only of this provider"},
	{flag: "type", name: "eventType", help: "only of this type"},
	{flag: "status", name: "status", help: "only those", oneOf: eventStates},
	{flag: "subject", name: "subject", help: "only with this text in the subject"},
	{flag: "exact-subject", name: "exactSubject", help: "only with exactly this subject"},
	{flag: "external-id", name: "externalEventId", help: "only with this id of the provider"},
	{flag: "correlation-id", name: "correlationId", help: "only of this request"},
	{flag: "since", name: "receivedFrom", help: "received at or after: " + momentHelp, time: true},
	{flag: "until", name: "receivedTo", help: "received at or before", time: true},
	{flag: "occurred-from", name: "from", help: "occurred at or after", time: true},
	{flag: "occurred-to", name: "to", help: "occurred at or before", time: true},
	{flag: "sort-by", name: "sortBy", help: "the order", oneOf: []string{"receivedAt", "createdAt", "occurredAt", "status"}},
	{flag: "sort-order", name: "sortOrder", help: "the direction", oneOf: []string{"asc", "desc"}},
}

var eventColumns = []output.Column{
	{Title: "ID", Path: "id", Kind: output.ID},
	{Title: "RECEIVED", Path: "receivedAt", Kind: output.Age},
	{Title: "SOURCE", Path: "source"},
	{Title: "TYPE", Path: "eventType"},
	{Title: "STATUS", Path: "status", Kind: output.State},
	{Title: "TRIES", Path: "processingAttempts", Kind: output.Number},
	{Title: "SUBJECT", Path: "subject"},
	{Title: "LAST ERROR", Path: "lastError", Wide: true},
	{Title: "PROVIDER", Path: "provider", Wide: true},
	{Title: "EXTERNAL ID", Path: "externalEventId", Wide: true},
	{Title: "OCCURRED", Path: "occurredAt", Kind: output.Time, Wide: true},
	{Title: "CORRELATION", Path: "correlationId", Wide: true},
}

func (c *command) events() *cobra.Command {
	cmd := group("events", "Find events, follow them, and send them again", `An event is named by its id, by the provider's id, or by the correlation id of its request.`,
		c.list(listing{short: "List events, the last received first", path: "/events", params: eventParams, columns: eventColumns,
			empty: "No event matches. See: gateway quarantine list, for what was refused"}),
		c.eventsShow(), c.eventsStatus(), c.eventsTail(), c.eventsReplay(), c.eventsMapping(),
		c.eventsNow("retry", "Try an event's waiting deliveries now", "tried now: %s of event %s", false),
		c.eventsNow("cancel", "End an event's waiting deliveries; a replay can still send it", "ended as failed: %s of event %s", true))
	c.addAPIFlags(cmd)
	return cmd
}

// eventID finds the event that a person named.
func (s *session) eventID(ctx context.Context, name string) (string, error) {
	if eventID, ok := app.ValidID(name); ok {
		var status json.RawMessage
		if _, err := s.Get(ctx, "/events/"+eventID+"/status", nil, &status); err == nil {
			return eventID, nil
		}
	}
	for _, by := range []string{"externalEventId", "correlationId"} {
		var found []struct {
			ID     string `json:"id"`
			Source string `json:"source"`
		}
		if _, err := s.Get(ctx, "/events", url.Values{by: {name}, "pageSize": {"10"}}, &found); err != nil {
			return "", err
		}
		switch {
		case len(found) == 1:
			return found[0].ID, nil
		case len(found) > 1:
			all := make([]string, len(found))
			for i, f := range found {
				all[i] = f.ID + " (" + f.Source + ")"
			}
			return "", usage("several events have the id " + name + ", choose one: " + strings.Join(all, ", "))
		}
	}
	return "", notFound("There is no event %s.", name)
}

func (c *command) eventsShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show EVENT", Short: "Show an event with its webhook and every attempt", Args: cobra.ExactArgs(1)}
	headers := cmd.Flags().Bool("headers", false, "also the headers of the webhook's request")
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		eventID, err := s.eventID(ctx, args[0])
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if _, err := s.Get(ctx, "/events/"+eventID, nil, &raw); err != nil {
			return err
		}
		return s.one(raw, "event.id", func(item map[string]any) error { return s.showEvent(item, *headers) })
	})
	return cmd
}

// longestPayload is how many lines of a payload are shown.
const longestPayload = 60

func (s *session) showEvent(item map[string]any, headers bool) error {
	err := s.out.Fields(fieldsOf(item,
		output.Column{Title: "id", Path: "event.id"}, output.Column{Title: "status", Path: "event.status", Kind: output.State},
		output.Column{Title: "source", Path: "event.source"}, output.Column{Title: "provider", Path: "event.provider"},
		output.Column{Title: "type", Path: "event.eventType"}, output.Column{Title: "subject", Path: "event.subject"},
		output.Column{Title: "external id", Path: "event.externalEventId"}, output.Column{Title: "correlation", Path: "event.correlationId"},
		output.Column{Title: "occurred", Path: "event.occurredAt", Kind: output.Time}, output.Column{Title: "received", Path: "event.receivedAt", Kind: output.Time},
		output.Column{Title: "from", Path: "webhook.sourceIp"}, output.Column{Title: "tries", Path: "event.processingAttempts"},
		output.Column{Title: "last error", Path: "event.lastError"}, output.Column{Title: "body", Path: "webhook.bodyState"},
	))
	if err != nil {
		return err
	}
	if err := s.table(item, "webhook.marks", "Marks", []output.Column{{Title: "MARK", Path: "mark"}, {Title: "WHERE", Path: "detail"}}); err != nil {
		return err
	}
	if headers {
		if err := s.showMap("Headers", output.At(item, "webhook.requestHeaders")); err != nil {
			return err
		}
	}
	if err := s.showJSON("Payload", output.At(item, "event.normalizedPayload")); err != nil {
		return err
	}
	if err := s.table(item, "deliveryAttempts", "Attempts", []output.Column{
		{Title: "NO", Path: "attemptNo", Kind: output.Number}, {Title: "AT", Path: "createdAt", Kind: output.Time}, {Title: "STATUS", Path: "status", Kind: output.State},
		{Title: "HTTP", Path: "httpStatus", Kind: output.Number}, {Title: "TOOK", Path: "durationMs", Kind: output.Millis},
		{Title: "ERROR", Path: "errorMessage"}, {Title: "DESTINATION", Path: "destinationId", Kind: output.ID, Wide: true},
	}); err != nil {
		return err
	}
	return s.table(item, "processingJobs", "Jobs", jobColumns)
}

var jobColumns = []output.Column{
	{Title: "NO", Path: "attemptNo", Kind: output.Number}, {Title: "BY", Path: "triggeredBy"}, {Title: "STATUS", Path: "status", Kind: output.State},
	{Title: "DUE", Path: "scheduledAt", Kind: output.Time}, {Title: "ENDED", Path: "completedAt", Kind: output.Time}, {Title: "ERROR", Path: "errorMessage"},
	{Title: "QUEUE", Path: "queueName", Wide: true}, {Title: "DESTINATION", Path: "destinationId", Kind: output.ID, Wide: true},
}

// showJSON prints a value as indented JSON below a title; nothing for null.
func (s *session) showJSON(title string, value any) error {
	if value == nil {
		return nil
	}
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("print %s: %w", title, err)
	}
	lines := strings.Split(string(text), "\n")
	if more := len(lines) - longestPayload; more > 0 {
		lines = append(lines[:longestPayload], fmt.Sprintf("… %d more lines; all with -o json", more))
	}
	if err := s.out.Title(title); err != nil {
		return err
	}
	return s.out.Block(strings.Join(lines, "\n"))
}

// showMap prints names and texts below a title.
func (s *session) showMap(title string, value any) error {
	values, _ := value.(map[string]any)
	if len(values) == 0 {
		return nil
	}
	if err := s.out.Title(title); err != nil {
		return err
	}
	return s.out.Fields(sortedFields(values))
}

func (c *command) eventsStatus() *cobra.Command {
	cmd := &cobra.Command{Use: "status EVENT", Short: "Show what became of an event", Args: cobra.ExactArgs(1)}
	var every time.Duration
	addWatch(cmd, &every)
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		eventID, err := s.eventID(ctx, args[0])
		if err != nil {
			return err
		}
		return s.watched(ctx, every, func() error {
			var raw json.RawMessage
			if _, err := s.Get(ctx, "/events/"+eventID+"/status", nil, &raw); err != nil {
				return err
			}
			return s.one(raw, "eventId", func(item map[string]any) error {
				err := s.out.Fields(fieldsOf(item,
					output.Column{Title: "event", Path: "eventId"}, output.Column{Title: "status", Path: "status", Kind: output.State},
					output.Column{Title: "tries", Path: "processingAttempts"}, output.Column{Title: "last error", Path: "lastError"},
					output.Column{Title: "last try", Path: "lastProcessedAt", Kind: output.Time}))
				if err != nil {
					return err
				}
				return s.table(item, "jobs", "Jobs", jobColumns)
			})
		})
	})
	return cmd
}
