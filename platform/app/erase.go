package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"integration-gateway/modules/erasure"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// ErasureOrder says what to erase.
type ErasureOrder = erasure.Order

// EraseOptions are the options of `gateway erase`.
type EraseOptions struct {
	Order  ErasureOrder
	DryRun bool // only count
	JSON   bool
	Out    io.Writer
	Err    io.Writer // for the progress
	Confirm
}

// Check returns the invalid fields of the order.
func (o EraseOptions) Check() []fault.Field { return o.Order.Mistakes() }

// erased is the JSON output.
type erased struct {
	Erased    bool   `json:"erased"`
	ErasureID string `json:"erasureId,omitempty"`
	Limited   bool   `json:"limited"`
	contract.ErasureCounts
	Found erasure.Found `json:"found"` // before
}

// Erase removes records: it counts, asks for confirmation, and erases.
func Erase(ctx context.Context, cfg config.Config, log *slog.Logger, o EraseOptions) error {
	g, err := openTool(ctx, cfg, log, false)
	if err != nil {
		return err
	}
	defer g.close(log)
	ctx = httpapi.WithActor(ctx, contract.ActorCLI)
	found, err := g.erasure.Count(ctx, o.Order, 0)
	if err != nil {
		return err
	}
	if (found.None() || o.DryRun) && o.JSON {
		return printJSON(o.Out, erased{Found: found})
	}
	if !o.JSON {
		o.say(found)
	}
	if found.None() || o.DryRun {
		return nil
	}
	if err := o.Confirm(); err != nil {
		return err
	}
	done, err := g.erasure.Erase(ctx, o.Order, o.progress)
	if err != nil {
		return fmt.Errorf("erasure %s has erased %d events so far and is continued by the next `gateway work` or `serve`: %w", done.ID, done.Counts.Events, err)
	}
	if o.JSON {
		return printJSON(o.Out, erased{true, done.ID, done.Limited, done.Counts, found})
	}
	gone := done.Counts
	_, err = fmt.Fprintf(o.Out, "erased %d events with %d webhooks, %d responses of destinations and %d dead letters; ended %d deliveries; removed %d refused requests; "+
		"%d events of others lost their original body\n"+
		"recorded in the audit trail as erasure %s, without what was looked for\n",
		gone.Events, gone.Webhooks, gone.Answers, gone.DeadLetters, gone.Deliveries, gone.Quarantined, gone.Others, done.ID)
	if done.Limited {
		_, err = fmt.Fprintln(o.Out, "it ended at the limit; run it again to go on")
	}
	return err
}

// say prints what was found.
func (o EraseOptions) say(found erasure.Found) {
	_, _ = fmt.Fprintf(o.Out, "found %d events and %d refused requests; %d events of others arrived in the same webhooks and lose their original body\n",
		found.Events, found.Quarantined, found.Others)
	for _, s := range found.BySource {
		_, _ = fmt.Fprintf(o.Out, "  %s: %d events\n", s.Source, s.Events)
	}
	if found.Oldest != nil {
		_, _ = fmt.Fprintf(o.Out, "  received from %s to %s\n", found.Oldest.Format(timeLayout), found.Newest.Format(timeLayout))
		_, _ = fmt.Fprintf(o.Out, "  the oldest: %v\n", found.First)
	}
	if found.Unreadable > 0 {
		_, _ = fmt.Fprintf(o.Out, "  %d events are damaged, so that nobody knows whether they match; see: gateway verify\n", found.Unreadable)
	}
}

const timeLayout = "2006-01-02T15:04:05Z07:00"

func (o EraseOptions) progress(v erasure.View) {
	if !o.JSON {
		_, _ = fmt.Fprintf(o.Err, "looked at %d events, erased %d\n", v.Looked, v.Counts.Events)
	}
}
