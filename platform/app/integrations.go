package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"integration-gateway/modules/ingestion"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
)

// IntegrationOptions are what all of `gateway integrations` is told.
type IntegrationOptions struct {
	JSON bool
	Out  io.Writer
}

// onIntegrations runs do on the records, under the command line's name.
func onIntegrations(ctx context.Context, cfg config.Config, log *slog.Logger, do func(context.Context, *system) error) error {
	g, err := openTool(ctx, cfg, log, false)
	if err != nil {
		return err
	}
	defer g.close(log)
	return lineByLine(errors.Join(do(httpapi.WithActor(ctx, contract.ActorCLI), g), g.ingestion.Close()))
}

// lineByLine gives each of several mistakes its own line.
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

// named finds an integration by its source, or by its id.
func (g *system) named(ctx context.Context, name string) (string, error) {
	if integrationID, ok := ValidID(name); ok {
		return integrationID, nil
	}
	return g.ingestion.IntegrationOf(ctx, name)
}

// webhookAddress is where a provider sends a source's webhooks.
func webhookAddress(cfg config.Config, source string) string {
	return cfg.HTTP.PublicBaseURL + httpapi.Base + "/webhooks/" + source
}

// SetIntegrationActive lets an integration take webhooks, or stops it.
func SetIntegrationActive(ctx context.Context, cfg config.Config, log *slog.Logger, name string, active bool, o IntegrationOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		integrationID, err := g.named(ctx, name)
		if err != nil {
			return err
		}
		err = g.db.InTx(ctx, func(tx *database.Tx) error {
			return g.ingestion.ChangeIntegration(ctx, tx, integrationID, ingestion.IntegrationChange{IsActive: &active})
		})
		if err != nil {
			return err
		}
		what := "enabled %s\n"
		if !active {
			what = "disabled %s: its webhooks are refused, and its events wait until it is enabled\n"
		}
		_, err = fmt.Fprintf(o.Out, what, name)
		return err
	})
}

// RotateOptions are what `gateway integrations rotate-secret` is told.
type RotateOptions struct {
	IntegrationOptions
	Secret    secret.Value
	Note      string
	ExpireOld *time.Duration // how long the others verify beside it; nil for as long as they did
}

// RotateSecret gives an integration a new secret.
func RotateSecret(ctx context.Context, cfg config.Config, log *slog.Logger, name string, o RotateOptions) error {
	s, expireOld := ingestion.SecretConfig{Value: o.Secret, Note: o.Note}, o.ExpireOld
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		integrationID, err := g.named(ctx, name)
		if err != nil {
			return err
		}
		var added string
		var old []string
		err = g.db.InTx(ctx, func(tx *database.Tx) (err error) {
			added, old, err = g.ingestion.RotateSecret(ctx, tx, integrationID, s, expireOld)
			return err
		})
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(o.Out, "added secret %s to %s\n", added, name)
		for _, secretID := range old {
			ends := "until you remove it; `gateway integrations show` tells when it is unused"
			if expireOld != nil {
				ends = fmt.Sprintf("for %s at most", *expireOld)
			}
			_, _ = fmt.Fprintf(o.Out, "secret %s verifies beside it %s\n", secretID, ends)
		}
		return nil
	})
}

// RemoveIntegration archives an integration once confirm agrees. openJobs is finish or
// cancel.
func RemoveIntegration(ctx context.Context, cfg config.Config, log *slog.Logger, name, openJobs string, confirm Confirm, o IntegrationOptions) error {
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		integrationID, err := g.named(ctx, name)
		if err != nil {
			return err
		}
		shown, err := g.ingestion.IntegrationByID(ctx, integrationID)
		if err != nil {
			return err
		}
		if shown.ArchivedAt == nil { // else the answer says so
			_, _ = fmt.Fprintf(o.Out, "%s (%s) will take no more webhooks, and its name cannot be used again; its history stays.\n", shown.Source, shown.Name)
			if err := confirm(); err != nil {
				return err
			}
		}
		err = g.db.InTx(ctx, func(tx *database.Tx) error {
			return g.ingestion.ArchiveIntegration(ctx, tx, integrationID, contract.OpenJobs(openJobs))
		})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(o.Out, "removed %s\n", shown.Source)
		return err
	})
}

// RotateSigningSecret gives the destination of an integration that has the URL, or is the
// only one where it is "", a new signing secret.
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
			return fmt.Errorf("%d destinations of %s fit; name one with --to", len(found), name)
		}
		var signing string
		err = g.db.InTx(ctx, func(tx *database.Tx) (err error) {
			signing, err = g.ingestion.RotateSigningSecret(ctx, tx, integrationID, found[0].ID)
			return err
		})
		if err != nil {
			return err
		}
		if o.JSON {
			return printJSON(o.Out, contract.NewDestination{ID: found[0].ID, SigningSecret: signing})
		}
		_, err = fmt.Fprintf(o.Out, "deliveries are signed with %s, which is shown this once, and for a day with the old one beside it\n", signing)
		return err
	})
}
