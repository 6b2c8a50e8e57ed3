package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// IntegrationOptions are the options of commands on the records.
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
