package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"integration-gateway/platform/app"
	"integration-gateway/platform/cli/output"
)

func (c *command) integrationsApply() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Apply integrations from a file",
		Long: `Prints a plan and asks for confirmation; then all of it is applied, or nothing. Integrations
and settings that the file does not mention stay unchanged. The secrets listed for an
integration replace all its secrets, and the destinations all its destinations. Secrets are
given as references, env:NAME or file:PATH.

  integrations:
    - source: acme-eu
      provider: acme
      secrets: [env:ACME_SECRET]
      destinations:
        - url: https://orders.example.com/hooks`,
		Args: cobra.NoArgs,
	}
	path := cmd.Flags().StringP("file", "f", "", "the file, in YAML")
	asked := addConsent(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *path == "" {
			return usage("integrations apply: give the file with -f")
		}
		described, err := app.ReadIntegrations(*path)
		if err != nil {
			return &failure{exitUsage, err.Error()}
		}
		return c.onAPI(func(ctx context.Context, s *session, _ []string) error { return s.apply(ctx, described, asked) })(cmd, args)
	}
	return cmd
}

// step is a step of a plan.
type step struct {
	Source string `json:"source"`
	Sign   string `json:"sign"`
	Text   string `json:"text"`
}

func (s step) String() string { return s.Sign + " " + s.Source + ": " + s.Text }

func (s *session) apply(ctx context.Context, described []any, asked *consent) error {
	var raw json.RawMessage
	if err := s.Post(ctx, "/integrations/apply", map[string]any{"integrations": described, "dryRun": true}, &raw); err != nil {
		return err
	}
	var plan struct{ Steps []step }
	if err := json.Unmarshal(raw, &plan); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if len(plan.Steps) == 0 {
		return s.done(raw, "", "nothing to do: everything matches the file")
	}
	expected := make([]string, len(plan.Steps))
	for i, each := range plan.Steps {
		expected[i] = each.String()
	}
	if asked.dryRun {
		return s.done(raw, "", "%s", strings.Join(expected, "\n"))
	}
	if err := s.out.Say("%s", strings.Join(expected, "\n")); err != nil {
		return err
	}
	if err := s.c.confirm(asked.yes)(); err != nil {
		return err
	}
	if err := s.Post(ctx, "/integrations/apply", map[string]any{"integrations": described, "expected": expected}, &raw); err != nil {
		return err
	}
	changes := "1 change"
	if len(expected) != 1 {
		changes = fmt.Sprintf("%d changes", len(expected))
	}
	return s.done(raw, "", "applied %s", changes)
}

func (c *command) integrationsExport() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [SOURCE…]",
		Short: "Write integrations as a file that apply reads",
		Long: `Writes YAML that gateway integrations apply reads back without a difference. It has no secrets,
and no values of headers, credentials and certificates: nobody can read these back. What
there is of them is named in comments, to be added as references for another gateway.`,
	}
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		items, err := s.Whole(ctx, "/integrations", url.Values{})
		if err != nil {
			return err
		}
		list := &yaml.Node{Kind: yaml.SequenceNode}
		left := map[string]bool{}
		for _, source := range args {
			left[source] = true
		}
		for _, raw := range items {
			item, err := output.Parse(raw)
			if err != nil {
				return err
			}
			source := output.TextAt(item, "source")
			if len(args) > 0 && !left[source] {
				continue
			}
			delete(left, source)
			list.Content = append(list.Content, exported(item))
		}
		for source := range left {
			return notFound("There is no integration %s.", source)
		}
		return s.out.WriteYAML(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{scalar("integrations"), list}})
	})
	return cmd
}

func scalar(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

// document is a YAML mapping in the order of its fields.
type document struct{ yaml.Node }

func newDocument() *document { return &document{yaml.Node{Kind: yaml.MappingNode}} }

// add adds a field of an item; nothing for null.
func (d *document) add(item map[string]any, fields ...string) {
	for _, name := range fields {
		value := output.At(item, name)
		if value == nil {
			continue
		}
		node := &yaml.Node{}
		if err := node.Encode(plainNumbers(value, false)); err == nil {
			d.Content = append(d.Content, scalar(name), node)
		}
	}
}

// plainNumbers turns the digits of numbers into numbers, and leaves out what is null, except in a JSON
// Schema, where it is a value.
func plainNumbers(value any, nulls bool) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if n, err := strconv.ParseUint(v.String(), 10, 64); err == nil {
			return n
		}
		f, _ := v.Float64() // a JSON number is one
		return f
	case []any:
		all := make([]any, len(v))
		for i, each := range v {
			all[i] = plainNumbers(each, nulls)
		}
		return all
	case map[string]any:
		all := map[string]any{}
		for name, each := range v {
			if each != nil || nulls {
				all[name] = plainNumbers(each, nulls || name == "schema")
			}
		}
		return all
	}
	return value
}

func exported(item map[string]any) *yaml.Node {
	d := newDocument()
	d.add(item, "source", "provider", "name", "isActive", "rateLimitPerMinute", "maxBodyBytes", "options", "redact")
	secrets, _ := output.At(item, "secrets").([]any)
	destinations, _ := output.At(item, "destinations").([]any)
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, each := range destinations {
		one, _ := each.(map[string]any)
		list.Content = append(list.Content, exportedDestination(one))
	}
	d.Content = append(d.Content, scalar("destinations"), list)
	d.HeadComment = fmt.Sprintf("%d secrets stay as they are; for another gateway add secrets: [env:NAME]", len(secrets))
	if len(secrets) == 1 {
		d.HeadComment = "its secret stays as it is; for another gateway add secrets: [env:NAME]"
	}
	return &d.Node
}

func exportedDestination(item map[string]any) *yaml.Node {
	d := newDocument()
	d.add(item, "url", "isActive", "mode", "filter", "transform", "policy", "tracePropagation")
	var hidden []string
	if headers := output.TextAt(item, "headers"); headers != "" {
		hidden = append(hidden, "headers "+headers)
	}
	if auth := output.TextAt(item, "auth"); auth != "" && auth != "none" {
		hidden = append(hidden, "auth "+auth)
	}
	if output.At(item, "tls") != nil {
		hidden = append(hidden, "tls")
	}
	if len(hidden) > 0 {
		d.HeadComment = "it also has " + strings.Join(hidden, ", ") + ", which stay as they are"
	}
	return &d.Node
}
