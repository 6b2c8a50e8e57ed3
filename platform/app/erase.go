package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"integration-gateway/modules/ingestion"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/httpapi"
)

// EraseOptions are the options of `gateway erase`.
type EraseOptions struct {
	Subject contract.Subject
	DryRun  bool // only count
	JSON    bool
	Out     io.Writer
	Confirm
}

// Check reports invalid options.
func (o EraseOptions) Check() error { return ingestion.CheckSubject(o.Subject) }

// erased is the JSON output.
type erased struct {
	Erased    bool   `json:"erased"`
	ErasureID string `json:"erasureId,omitempty"`
	contract.ErasureCounts
}

// Erase removes a subject's records: it counts, asks for confirmation, and erases.
func Erase(ctx context.Context, cfg config.Config, log *slog.Logger, o EraseOptions) error {
	g, err := openTool(ctx, cfg, log, false)
	if err != nil {
		return err
	}
	defer g.close(log)
	ctx = httpapi.WithActor(ctx, contract.ActorCLI)
	found, err := g.erasure.Count(ctx, o.Subject)
	if err != nil {
		return err
	}
	none := found == contract.ErasureCounts{}
	if (none || o.DryRun) && o.JSON {
		return printJSON(o.Out, erased{ErasureCounts: found})
	}
	if !o.JSON {
		_, _ = fmt.Fprintf(o.Out, "found %d events of the subject and %d refused requests that mention it; %d events of others arrived in the same webhooks and lose their original body\n",
			found.Events, found.Quarantined, found.Others)
	}
	if none || o.DryRun {
		return nil
	}
	if err := o.Confirm(); err != nil {
		return err
	}
	erasureID, gone, err := g.erasure.Erase(ctx, o.Subject, contract.ActorCLI)
	if err != nil {
		return fmt.Errorf("%d events were erased before this; run it again: %w", gone.Events, err)
	}
	if o.JSON {
		return printJSON(o.Out, erased{true, erasureID, gone})
	}
	_, err = fmt.Fprintf(o.Out, "erased %d events with %d webhooks, %d responses of destinations and %d dead letters; ended %d deliveries; removed %d refused requests; "+
		"%d events of others lost their original body\n"+
		"recorded in the audit trail as erasure %s, without the subject\n",
		gone.Events, gone.Webhooks, gone.Answers, gone.DeadLetters, gone.Deliveries, gone.Quarantined, gone.Others, erasureID)
	return err
}
