package app

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"integration-gateway/modules/access"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/fault"
)

// KeyOptions are the options of `gateway keys create`.
type KeyOptions struct {
	IntegrationOptions
	Name     string
	Role     string
	Sources  []string      // none: all
	Lifetime time.Duration // 0: for ever
}

// CreateKey creates a management key and prints it.
func CreateKey(ctx context.Context, cfg config.Config, log *slog.Logger, o KeyOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		n := access.NewKey{Name: o.Name, Role: o.Role}
		if len(o.Sources) > 0 {
			n.Sources = o.Sources
		}
		if o.Lifetime > 0 {
			expires := clock.System().Add(o.Lifetime)
			n.ExpiresAt = &expires
		}
		k, text, err := g.access.Create(ctx, n)
		switch {
		case err != nil:
			return err
		case o.JSON:
			return printJSON(o.Out, struct {
				access.Key
				Text string `json:"key"`
			}{k, text.Reveal()})
		}
		_, err = fmt.Fprintf(o.Out, "%s\nThis is the key %s (%s); it is not shown again.\n", text.Reveal(), k.Name, k.Role)
		return err
	})
}

// ListKeys prints all management keys, without the keys themselves.
func ListKeys(ctx context.Context, cfg config.Config, log *slog.Logger, o IntegrationOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		keys, err := g.access.Keys(ctx)
		switch {
		case err != nil:
			return err
		case o.JSON:
			return printJSON(o.Out, keys)
		}
		w := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "ID\tNAME\tKEY\tROLE\tSOURCES\tLAST USED\tEXPIRES\tREVOKED")
		for _, k := range keys {
			sources := "all"
			if k.Sources != nil {
				sources = strings.Join(k.Sources, ",")
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s…\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.Prefix, k.Role, sources,
				timeOrDash(k.LastUsedAt), timeOrDash(k.ExpiresAt), timeOrDash(k.RevokedAt))
		}
		return w.Flush()
	})
}

// RevokeKey revokes the management key with a name or an id.
func RevokeKey(ctx context.Context, cfg config.Config, log *slog.Logger, name string, o IntegrationOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		keyID, err := g.keyNamed(ctx, name)
		if err != nil {
			return err
		}
		k, err := g.access.Revoke(ctx, keyID)
		switch {
		case err != nil:
			return err
		case o.JSON:
			return printJSON(o.Out, k)
		}
		_, err = fmt.Fprintf(o.Out, "revoked %s\n", k.Name)
		return err
	})
}

// keyNamed finds a key by its name, or by its id.
func (g *system) keyNamed(ctx context.Context, name string) (string, error) {
	if keyID, ok := ValidID(name); ok {
		return keyID, nil
	}
	keys, err := g.access.Keys(ctx)
	if err != nil {
		return "", err
	}
	for _, k := range keys {
		if k.Name == name {
			return k.ID, nil
		}
	}
	return "", fault.NotFound.New("key_not_found", "There is no key %s.", name)
}
