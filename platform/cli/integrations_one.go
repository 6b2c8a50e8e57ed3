package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/cli/output"
)

// integration is what commands need to know of an integration.
type integration struct {
	ID           string        `json:"id"`
	Source       string        `json:"source"`
	Name         string        `json:"name"`
	IsActive     bool          `json:"isActive"`
	ArchivedAt   any           `json:"archivedAt"`
	Destinations []destination `json:"destinations"`
	Secrets      []struct {
		ID           string `json:"id"`
		PendingSince any    `json:"pendingSince"`
	} `json:"secrets"`
}

// integration finds an integration by its source or id, also a removed one.
func (s *session) integration(ctx context.Context, name string) (integration, json.RawMessage, error) {
	var found integration
	items, err := s.Whole(ctx, "/integrations", url.Values{"archived": {"true"}})
	if err != nil {
		return found, nil, err
	}
	integrationID, _ := app.ValidID(name)
	for _, raw := range items {
		var one integration
		if err := json.Unmarshal(raw, &one); err != nil {
			return found, nil, fmt.Errorf("read the answer: %w", err)
		}
		if one.Source == name || one.ID == integrationID {
			return one, raw, nil
		}
	}
	return found, nil, notFound("There is no integration %s.", name)
}

func stateOfIntegration(item map[string]any) string {
	switch {
	case output.At(item, "archivedAt") != nil:
		return "removed"
	case output.At(item, "isActive") == true:
		return "enabled"
	}
	return "disabled"
}

func (c *command) integrationsList() *cobra.Command {
	return c.list(listing{
		short: "List integrations, by source", path: "/integrations", whole: true,
		params: []param{
			{flag: "provider", name: "provider", help: "only integrations of this provider"},
			{flag: "active-only", name: "activeOnly", help: "only enabled integrations", isBool: true},
			{flag: "archived", name: "archived", help: "include removed integrations", isBool: true},
		},
		columns: []output.Column{
			{Title: "SOURCE", Path: "source", Kind: output.ID}, {Title: "PROVIDER", Path: "provider"}, {Title: "NAME", Path: "name"},
			{Title: "STATE", Kind: output.State, Of: stateOfIntegration},
			{Title: "SECRETS", Kind: output.Number, Of: func(item map[string]any) string {
				all, _ := output.At(item, "secrets").([]any)
				return fmt.Sprint(len(all))
			}},
			{Title: "DESTINATIONS", Kind: output.URL, Of: func(item map[string]any) string {
				all, _ := output.At(item, "destinations").([]any)
				urls := make([]any, len(all))
				for i, d := range all {
					urls[i] = output.At(map[string]any{"d": d}, "d.url")
				}
				return output.TextAt(map[string]any{"urls": urls}, "urls")
			}},
			{Title: "ID", Path: "id", Kind: output.ID, Wide: true}, {Title: "CREATED", Path: "createdAt", Kind: output.Time, Wide: true},
		},
		empty: "No integration matches. See: gateway integrations add --help",
	})
}

func (c *command) integrationsShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show SOURCE", Short: "Show one integration, with the use of its secrets", Args: cobra.ExactArgs(1)}
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		_, raw, err := s.integration(ctx, args[0])
		if err != nil {
			return err
		}
		return s.one(raw, "id", s.showIntegration)
	})
	return cmd
}

// otherwise is a text's replacement where there is none.
func otherwise(path, absent string) func(map[string]any) string {
	return func(item map[string]any) string {
		if text := output.TextAt(item, path); text != "" {
			return text
		}
		return absent
	}
}

func (s *session) showIntegration(item map[string]any) error {
	err := s.out.Fields(fieldsOf(item,
		output.Column{Title: "source", Path: "source"}, output.Column{Title: "id", Path: "id"}, output.Column{Title: "provider", Path: "provider"},
		output.Column{Title: "name", Path: "name"}, output.Column{Title: "state", Kind: output.State, Of: stateOfIntegration},
		output.Column{Title: "warnings", Path: "warnings"},
		output.Column{Title: "webhooks", Of: func(item map[string]any) string { return s.webhookAddress(output.TextAt(item, "source")) }},
		output.Column{Title: "options", Of: otherwise("options", "as configured")}, output.Column{Title: "redacted", Of: otherwise("redact", "nothing")},
		output.Column{Title: "rate limit a minute", Of: otherwise("rateLimitPerMinute", "as configured")},
		output.Column{Title: "largest body", Of: otherwise("maxBodyBytes", "as configured")},
		output.Column{Title: "created", Path: "createdAt", Kind: output.Time}, output.Column{Title: "updated", Path: "updatedAt", Kind: output.Time},
		output.Column{Title: "removed", Path: "archivedAt", Kind: output.Time}))
	if err != nil {
		return err
	}
	state := output.Column{Title: "STATE", Kind: output.State, Of: func(item map[string]any) string {
		if output.At(item, "pendingSince") != nil {
			return "pending"
		}
		return activeOr("off", item)
	}}
	err = s.table(item, "secrets", "Secrets", []output.Column{
		{Title: "ID", Path: "id", Kind: output.ID}, {Title: "PURPOSE", Path: "purpose"}, state, {Title: "MATCHES", Path: "matchCount", Kind: output.Number},
		{Title: "LAST MATCH", Path: "lastMatchedAt", Kind: output.Time}, {Title: "EXPIRES", Path: "expiresAt", Kind: output.Time}, {Title: "NOTE", Path: "note"}, {Title: "WARNING", Path: "warning", Wide: true}})
	if err != nil {
		return err
	}
	if err := s.table(item, "destinations", "Destinations", []output.Column{
		{Title: "ID", Path: "id", Kind: output.ID}, {Title: "STATE", Kind: output.State, Of: stateOfDestination}, {Title: "URL", Path: "url", Kind: output.URL},
		{Title: "MODE", Path: "mode"}, {Title: "FILTER", Path: "filter"}}); err != nil {
		return err
	}
	if err := s.warningsOf(item, "secrets", "warning"); err != nil {
		return err
	}
	return s.warningsOf(item, "destinations", "tls.warnings")
}

// warningsOf prints the warnings about parts of an item.
func (s *session) warningsOf(item map[string]any, parts, path string) error {
	all, _ := output.At(item, parts).([]any)
	for _, each := range all {
		one, _ := each.(map[string]any)
		if warnings := output.TextAt(one, path); warnings != "" {
			if err := s.out.Say("\nof %s: %s", output.TextAt(one, "id"), warnings); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *command) integrationsSwitch(verb string, active bool) *cobra.Command {
	short := "Accept a source's webhooks again"
	if !active {
		short = "Refuse a source's webhooks and park its events"
	}
	cmd := &cobra.Command{Use: verb + " SOURCE", Short: short, Args: cobra.ExactArgs(1)}
	var asked *consent
	if !active {
		asked = addConsent(cmd)
	}
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		i, _, err := s.integration(ctx, args[0])
		if err != nil {
			return err
		}
		const stops = "its webhooks are answered 404, which its provider may give up on, and kept in quarantine if they verify; its events are parked until it is enabled"
		if !active {
			if do, err := c.agreed(asked, "%s will be disabled: %s.", i.Source, stops); err != nil || !do {
				return err
			}
		}
		var raw json.RawMessage
		if err := s.Patch(ctx, "/integrations/"+i.ID, map[string]any{"isActive": active}, &raw); err != nil {
			return err
		}
		if active {
			return s.done(raw, i.ID, "enabled %s", i.Source)
		}
		item, err := output.Parse(raw)
		if err != nil {
			return err
		}
		said := output.TextAt(item, "warnings")
		if said == "" { // an older gateway's answer
			said = stops
		}
		return s.done(raw, i.ID, "disabled %s: %s", i.Source, said)
	})
	return cmd
}

func (c *command) integrationsRemove() *cobra.Command {
	cmd := &cobra.Command{Use: "remove SOURCE", Short: "Remove an integration for good; its history stays", Args: cobra.ExactArgs(1)}
	openJobs := cmd.Flags().String("open-jobs", "finish", "what to do with open deliveries: finish or cancel")
	asked := addConsent(cmd)
	check := func([]string) error {
		if *openJobs != "finish" && *openJobs != "cancel" {
			return usage("integrations remove: --open-jobs must be finish or cancel")
		}
		return nil
	}
	cmd.RunE = c.beforeAPI(check, func(ctx context.Context, s *session, args []string) error {
		i, _, err := s.integration(ctx, args[0])
		if err != nil {
			return err
		}
		if i.ArchivedAt == nil { // otherwise the answer says so
			do, err := c.agreed(asked, "%s (%s) will accept no more webhooks, and its name cannot be reused; its history stays.", i.Source, i.Name)
			if err != nil || !do {
				return err
			}
		}
		var raw json.RawMessage
		if err := s.Delete(ctx, "/integrations/"+i.ID, url.Values{"openJobs": {*openJobs}}, &raw); err != nil {
			return err
		}
		return s.done(raw, i.ID, "removed %s", i.Source)
	})
	return cmd
}
