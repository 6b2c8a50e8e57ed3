package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
)

// destination is a destination with the integration that it belongs to.
type destination struct {
	ID            string `json:"id"`
	Source        string `json:"source"`
	IntegrationID string `json:"integrationId"`
	URL           string `json:"url"`
	IsActive      bool   `json:"isActive"`

	Pause *struct {
		Reason *string `json:"reason"`
		Until  *string `json:"until"`
	} `json:"pause"`
}

func (c *command) destinations() *cobra.Command {
	cmd := group("destinations", "Look at destinations, pause, resume, test and probe them", `A destination is named by its id, or by its URL where no other has the same.`,
		c.list(listing{
			short: "List destinations, by source", path: "/integrations", whole: true,
			params: []param{{flag: "source", name: "source", help: "only of this source"}},
			items:  destinationsIn,
			columns: []output.Column{
				{Title: "ID", Path: "id", Kind: output.ID}, {Title: "SOURCE", Path: "source"},
				{Title: "STATE", Kind: output.State, Of: stateOfDestination}, {Title: "UNTIL", Path: "pause.until", Kind: output.Time}, {Title: "URL", Path: "url", Kind: output.URL},
				{Title: "WHY", Path: "pause.reason", Wide: true}, {Title: "BY", Path: "pause.by", Wide: true},
				{Title: "BREAKER", Path: "breaker", Kind: output.State, Wide: true},
				{Title: "MODE", Path: "mode", Wide: true}, {Title: "AUTH", Path: "auth", Wide: true}, {Title: "FILTER", Path: "filter", Wide: true},
				{Title: "CREATED", Path: "createdAt", Kind: output.Time, Wide: true},
			},
			empty: "There is no destination. See: gateway integrations add --help",
		}),
		c.destinationsShow(),
		c.destinationsPause(), c.destinationsResume(),
		c.destinationsTest(), c.destinationsProbe())
	c.addAPIFlags(cmd)
	return cmd
}

// stateOfDestination is its state, and the breaker's if it is not closed.
func stateOfDestination(item map[string]any) string {
	breaker := output.TextAt(item, "breaker")
	if output.At(item, "isActive") == true && breaker != "closed" && breaker != "" {
		return "breaker " + breaker
	}
	return activeOr("paused", item)
}

func activeOr(otherwise string, item map[string]any) string {
	if output.At(item, "isActive") == true {
		return "active"
	}
	return otherwise
}

// destinationsIn returns an integration's destinations, each with its source.
func destinationsIn(integration json.RawMessage) ([]json.RawMessage, error) {
	var of struct {
		ID           string            `json:"id"`
		Source       string            `json:"source"`
		Destinations []json.RawMessage `json:"destinations"`
	}
	if err := json.Unmarshal(integration, &of); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	lead, err := json.Marshal(map[string]string{"source": of.Source, "integrationId": of.ID})
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	for i, d := range of.Destinations { // {"source":…,"integrationId":…, and the destination's own fields}
		of.Destinations[i] = append(append(append(json.RawMessage{}, lead[:len(lead)-1]...), ','), d[1:]...)
	}
	return of.Destinations, nil
}

// destination finds the destination with an id or URL.
func (s *session) destination(ctx context.Context, name string) (destination, error) {
	raw, err := s.destinationRaw(ctx, name)
	if err != nil {
		return destination{}, err
	}
	var d destination
	if err := json.Unmarshal(raw, &d); err != nil {
		return d, fmt.Errorf("read the answer: %w", err)
	}
	return d, nil
}

func (s *session) destinationRaw(ctx context.Context, name string) (json.RawMessage, error) {
	items, err := s.Whole(ctx, "/integrations", url.Values{})
	if err != nil {
		return nil, err
	}
	var found []json.RawMessage
	for _, item := range items {
		all, err := destinationsIn(item)
		if err != nil {
			return nil, err
		}
		for _, raw := range all {
			var d destination
			if err := json.Unmarshal(raw, &d); err != nil {
				return nil, fmt.Errorf("read the answer: %w", err)
			}
			if d.ID == name || d.URL == name {
				found = append(found, raw)
			}
		}
	}
	switch len(found) {
	case 0:
		return nil, notFound("There is no destination %s. See: gateway destinations list", name)
	case 1:
		return found[0], nil
	}
	return nil, usage(fmt.Sprintf("%d destinations have the URL %s: give the id", len(found), name))
}

func (c *command) destinationsShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show DESTINATION", Short: "Show a destination", Args: cobra.ExactArgs(1)}
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		raw, err := s.destinationRaw(ctx, args[0])
		if err != nil {
			return err
		}
		return s.one(raw, "id", func(item map[string]any) error {
			return s.out.Fields(append(fieldsOf(item,
				output.Column{Title: "id", Path: "id"}, output.Column{Title: "source", Path: "source"}, output.Column{Title: "URL", Path: "url"},
				output.Column{Title: "state", Kind: output.State, Of: func(item map[string]any) string { return activeOr("paused", item) }},
				output.Column{Title: "paused since", Path: "pause.since", Kind: output.Time}, output.Column{Title: "paused until", Path: "pause.until", Kind: output.Time},
				output.Column{Title: "paused by", Path: "pause.by"}, output.Column{Title: "reason", Path: "pause.reason"},
				output.Column{Title: "breaker", Path: "breaker", Kind: output.State}, output.Column{Title: "mode", Path: "mode"},
				output.Column{Title: "filter", Path: "filter"}, output.Column{Title: "transform", Path: "transform"},
				output.Column{Title: "headers", Path: "headers"}, output.Column{Title: "auth", Path: "auth"},
				output.Column{Title: "TLS", Path: "tls"}, output.Column{Title: "trace propagation", Path: "tracePropagation"},
				output.Column{Title: "created", Path: "createdAt", Kind: output.Time}, output.Column{Title: "updated", Path: "updatedAt", Kind: output.Time}),
				policyFields(item)...))
		})
	})
	return cmd
}

// policyFields are the limits that a destination has of its own.
func policyFields(item map[string]any) []output.Field {
	policy, _ := output.At(item, "policy").(map[string]any)
	own := map[string]any{}
	for name, value := range policy {
		if value != nil {
			own[name] = value
		}
	}
	return sortedFields(own)
}
