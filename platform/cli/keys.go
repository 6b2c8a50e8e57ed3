package cli

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/clock"
)

func (c *command) keys() *cobra.Command {
	cmd := group("keys", "Create and revoke keys for the management API", `A key has a role: viewer reads; operator also replays, cancels, requeues and releases; admin
also changes integrations, creates, lists and revokes keys. It may be restricted to sources.
The first key is created on the database: set DATABASE_URL, or use MANAGEMENT_API_KEY.`,
		c.keysCreate(),
		c.list(listing{
			short: "List all keys, including revoked ones", path: "/api-keys", whole: true,
			columns: []output.Column{
				{Title: "NAME", Path: "name", Kind: output.ID}, {Title: "KEY", Path: "prefix", Kind: output.ID, Apply: func(text string) string { return text + "…" }},
				{Title: "ROLE", Path: "role"},
				{Title: "SOURCES", Path: "sources", Of: func(item map[string]any) string {
					if output.At(item, "sources") == nil {
						return "all"
					}
					return output.TextAt(item, "sources")
				}},
				{Title: "STATE", Kind: output.State, Of: stateOfKey}, {Title: "LAST USED", Path: "lastUsedAt", Kind: output.Time}, {Title: "EXPIRES", Path: "expiresAt", Kind: output.Time},
				{Title: "REVOKED", Path: "revokedAt", Kind: output.Time, Wide: true}, {Title: "CREATED", Path: "createdAt", Kind: output.Time, Wide: true},
				{Title: "BY", Path: "createdBy", Wide: true}, {Title: "ID", Path: "id", Kind: output.ID, Wide: true},
			},
			empty: "There is no key but MANAGEMENT_API_KEY. See: gateway keys create --help",
		}),
		c.keysRevoke())
	c.addAPIFlags(cmd)
	return cmd
}

func stateOfKey(item map[string]any) string {
	expires, err := time.Parse(time.RFC3339, output.TextAt(item, "expiresAt"))
	switch {
	case output.At(item, "revokedAt") != nil:
		return "revoked"
	case err == nil && expires.Before(clock.System()):
		return "expired"
	}
	return "active"
}

func (c *command) keysCreate() *cobra.Command {
	cmd := &cobra.Command{Use: "create NAME", Short: "Create a key and print it once", Args: cobra.ExactArgs(1)}
	role := cmd.Flags().String("role", "viewer", "viewer, operator or admin")
	sources := cmd.Flags().StringSlice("source", nil, "restrict it to this source; may be repeated")
	var lifetime duration
	cmd.Flags().Var(&lifetime, "expires-in", "how long it is valid, such as 90d or 720h; 0 for ever")
	check := func([]string) error {
		if lifetime > duration(100*365*24*time.Hour) {
			return usage("keys create: --expires-in must be at most a hundred years")
		}
		return nil
	}
	cmd.RunE = c.beforeAPI(check, func(ctx context.Context, s *session, args []string) error {
		body := map[string]any{"name": args[0], "role": *role}
		if len(*sources) > 0 {
			body["sources"] = *sources
		}
		if lifetime > 0 {
			body["expiresAt"] = clock.System().Add(time.Duration(lifetime))
		}
		var raw json.RawMessage
		if err := s.Post(ctx, "/api-keys", body, &raw); err != nil {
			return err
		}
		item, err := output.Parse(raw)
		if err != nil {
			return err
		}
		return s.out.One(raw, output.TextAt(item, "key"), func() error {
			return s.out.Say("%s\nThis is the key %s (%s); it is not shown again.", output.TextAt(item, "key"), args[0], *role)
		})
	})
	return cmd
}

func (c *command) keysRevoke() *cobra.Command {
	cmd := &cobra.Command{Use: "revoke NAME|ID", Short: "Revoke a key; running gateways refuse it within two seconds", Args: cobra.ExactArgs(1)}
	asked := addConsent(cmd)
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		id, name, err := s.keyNamed(ctx, args[0])
		if err != nil {
			return err
		}
		if do, err := c.agreed(asked, "The key %s will no longer be accepted.", name); err != nil || !do {
			return err
		}
		var raw json.RawMessage
		if err := s.Delete(ctx, "/api-keys/"+id, nil, &raw); err != nil {
			return err
		}
		return s.done(raw, id, "revoked %s", name)
	})
	return cmd
}

// keyNamed finds a key by its name or id.
func (s *session) keyNamed(ctx context.Context, name string) (id, found string, err error) {
	var all []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	if _, err := s.Get(ctx, "/api-keys", nil, &all); err != nil {
		return "", "", err
	}
	keyID, isID := app.ValidID(name)
	for _, k := range all {
		if k.Name == name || isID && k.ID == keyID {
			return k.ID, k.Name, nil
		}
	}
	return "", "", notFound("There is no key %s.", name)
}
