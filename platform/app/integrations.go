package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"integration-gateway/modules/integrations"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
)

// IntegrationOptions are the options of all `gateway integrations` commands.
type IntegrationOptions struct {
	JSON bool
	Out  io.Writer
}

// onIntegrations runs do on the records, with the command line as the actor.
func onIntegrations(ctx context.Context, cfg config.Config, log *slog.Logger, do func(context.Context, *system) error) error {
	g, err := openTool(ctx, cfg, log, false)
	if err != nil {
		return err
	}
	defer g.close(log)
	return lineByLine(errors.Join(do(httpapi.WithActor(ctx, contract.ActorCLI), g), g.ingestion.Close(), g.integrations.Close()))
}

// lineByLine puts each of several mistakes on its own line.
func lineByLine(err error) error {
	f := fault.As(err)
	if f == nil || len(f.Fields) < 2 {
		return err
	}
	lines := []string{fmt.Sprintf("%d mistakes:", len(f.Fields))}
	for _, field := range f.Fields {
		lines = append(lines, "  "+field.Field+" "+field.Message)
	}
	return errors.New(strings.Join(lines, "\n"))
}

// named finds an integration by its source or its id.
func (g *system) named(ctx context.Context, name string) (string, error) {
	if integrationID, ok := ValidID(name); ok {
		return integrationID, nil
	}
	return g.integrations.IntegrationOf(ctx, name)
}

// webhookAddress is the address for a source's webhooks.
func webhookAddress(cfg config.Config, source string) string {
	return cfg.HTTP.PublicBaseURL + httpapi.Base + "/webhooks/" + source
}

// SetIntegrationActive enables or disables an integration.
func SetIntegrationActive(ctx context.Context, cfg config.Config, log *slog.Logger, name string, active bool, o IntegrationOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		integrationID, err := g.named(ctx, name)
		if err != nil {
			return err
		}
		err = g.db.InTx(ctx, func(tx *database.Tx) error {
			return g.integrations.ChangeIntegration(ctx, tx, integrationID, integrations.IntegrationChange{IsActive: &active})
		})
		if err != nil {
			return err
		}
		what := "enabled %s\n"
		if !active {
			what = "disabled %s: its webhooks are refused, and its events are parked until it is enabled\n"
		}
		_, err = fmt.Fprintf(o.Out, what, name)
		return err
	})
}

// RotateOptions are the options of `gateway integrations rotate-secret`.
type RotateOptions struct {
	IntegrationOptions
	Secret    secret.Value
	Purpose   string // "" for what proves the provider's webhooks
	Note      string
	ExpireOld *time.Duration // how long the others stay valid; nil: unchanged
}

// RotateSecret adds a secret to an integration.
func RotateSecret(ctx context.Context, cfg config.Config, log *slog.Logger, name string, o RotateOptions) error {
	s, expireOld := integrations.SecretConfig{Value: o.Secret, Purpose: provider.Purpose(o.Purpose), Note: o.Note}, o.ExpireOld
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		integrationID, err := g.named(ctx, name)
		if err != nil {
			return err
		}
		var added string
		var old []string
		err = g.db.InTx(ctx, func(tx *database.Tx) (err error) {
			added, old, err = g.integrations.RotateSecret(ctx, tx, integrationID, s, expireOld)
			return err
		})
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(o.Out, "added secret %s to %s\n", added, name)
		for _, secretID := range old {
			ends := "until you remove it; `gateway integrations show` shows whether it is still used"
			if expireOld != nil {
				ends = fmt.Sprintf("for at most %s", *expireOld)
			}
			_, _ = fmt.Fprintf(o.Out, "secret %s stays valid %s\n", secretID, ends)
		}
		return nil
	})
}

// RemoveIntegration archives an integration after confirmation. openJobs is finish or
// cancel.
func RemoveIntegration(ctx context.Context, cfg config.Config, log *slog.Logger, name, openJobs string, confirm Confirm, o IntegrationOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		integrationID, err := g.named(ctx, name)
		if err != nil {
			return err
		}
		shown, err := g.integrations.IntegrationByID(ctx, integrationID)
		if err != nil {
			return err
		}
		if shown.ArchivedAt == nil { // otherwise the result says so
			_, _ = fmt.Fprintf(o.Out, "%s (%s) will accept no more webhooks, and its name cannot be reused; its history stays.\n", shown.Source, shown.Name)
			if err := confirm(); err != nil {
				return err
			}
		}
		err = g.db.InTx(ctx, func(tx *database.Tx) error {
			return g.integrations.ArchiveIntegration(ctx, tx, integrationID, contract.OpenJobs(openJobs))
		})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(o.Out, "removed %s\n", shown.Source)
		return err
	})
}

// RotateSigningSecret gives a destination a new signing secret: the one with the URL, or
// the only one if it is "".
func RotateSigningSecret(ctx context.Context, cfg config.Config, log *slog.Logger, name, url string, o IntegrationOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		integrationID, err := g.named(ctx, name)
		if err != nil {
			return err
		}
		all, err := g.delivery.Destinations(ctx, []string{integrationID})
		if err != nil {
			return err
		}
		var found []contract.Destination
		for _, d := range all {
			if url == "" || d.URL == url || d.ID == url {
				found = append(found, d)
			}
		}
		if len(found) != 1 {
			return fmt.Errorf("%d destinations of %s match; choose one with --to", len(found), name)
		}
		var signing string
		err = g.db.InTx(ctx, func(tx *database.Tx) (err error) {
			signing, err = g.integrations.RotateSigningSecret(ctx, tx, integrationID, found[0].ID)
			return err
		})
		if err != nil {
			return err
		}
		if o.JSON {
			return printJSON(o.Out, contract.NewDestination{ID: found[0].ID, SigningSecret: signing})
		}
		_, err = fmt.Fprintf(o.Out, "deliveries are signed with %s, which is shown only once; for a day they are also signed with the old one\n", signing)
		return err
	})
}
