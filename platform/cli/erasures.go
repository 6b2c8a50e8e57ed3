package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/clock"
)

func (c *command) erasures() *cobra.Command {
	cmd := group("erasures", "Erase data over the API, with a dry run and progress", "",
		c.erasuresCreate(),
		c.list(listing{
			short: "List erasures, newest first", path: "/erasures",
			params: []param{
				{flag: "status", name: "status", help: "only those", oneOf: []string{"queued", "running", "completed", "cancelled"}},
				{flag: "source", name: "source", help: "only those of this source"},
				{flag: "since", name: "createdFrom", help: "created at or after: " + momentHelp, time: true},
				{flag: "until", name: "createdTo", help: "created at or before", time: true},
			},
			columns: []output.Column{
				{Title: "ID", Path: "id", Kind: output.ID}, {Title: "STATUS", Path: "status", Kind: output.State}, {Title: "KIND", Path: "kind"},
				{Title: "LOOKED", Path: "looked", Kind: output.Number}, {Title: "EVENTS", Path: "counts.events", Kind: output.Number},
				{Title: "REFUSED", Path: "counts.quarantined", Kind: output.Number}, {Title: "CREATED", Path: "createdAt", Kind: output.Age},
				{Title: "BY", Path: "createdBy"}, {Title: "REASON", Path: "reason"}, {Title: "SOURCE", Path: "source", Wide: true},
			},
			empty: "There was no erasure. See: gateway erasures create --help",
		}),
		c.erasuresShow(), c.erasuresCancel())
	c.addAPIFlags(cmd)
	return cmd
}

func (c *command) erasuresCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create --reason TEXT", Short: "Erase the data of a subject, of events, or with a value at JSON paths", Args: cobra.NoArgs,
		Long: `Counts what would be erased, asks for confirmation, and has a worker erase it. What is erased is
gone for good. Give --subject, --event, or --value with --path. With --watch it shows the
progress until the erasure ends.`,
		Example: `  gateway erasures create --subject ada@example.com --dry-run
  gateway erasures create --value ada@example.com --path '$.data.email' --source shop --reason "request 17" --watch`,
	}
	f := addErasureFlags(cmd)
	var watch bool
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show the progress until it ends")
	asked := addConsent(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o := f.order(cmd)
		o.DryRun = &asked.dryRun
		if err := f.mistakes("erasures create", o); err != nil {
			return err
		}
		text, err := json.Marshal(o)
		if err != nil {
			return fmt.Errorf("write the order: %w", err)
		}
		body := map[string]any{}
		if err := json.Unmarshal(text, &body); err != nil {
			return fmt.Errorf("write the order: %w", err)
		}
		for name, value := range body { // absent, and not null
			if value == nil {
				delete(body, name)
			}
		}
		return c.onAPI(func(ctx context.Context, s *session, _ []string) error {
			return s.createErasure(ctx, body, asked, watch)
		})(cmd, args)
	}
	return cmd
}

// errNothingToErase is the error of an erasure of nothing.
var errNothingToErase = errors.New("nothing matches, so nothing was erased")

func (s *session) createErasure(ctx context.Context, body map[string]any, asked *consent, watch bool) error {
	dry := map[string]any{}
	for name, value := range body {
		dry[name] = value
	}
	dry["dryRun"] = true
	delete(body, "dryRun")
	var raw json.RawMessage
	if err := s.Post(ctx, "/erasures", dry, &raw); err != nil {
		return err
	}
	found, err := output.Parse(raw)
	if err != nil {
		return err
	}
	matched, refused := output.TextAt(found, "events"), output.TextAt(found, "quarantined")
	if output.At(found, "complete") == false {
		matched = "more than " + matched
	}
	if asked.dryRun {
		return s.out.One(raw, matched, func() error { return s.showFound(found, matched, refused) })
	}
	if matched == "0" && refused == "0" {
		return errNothingToErase
	}
	if do, err := s.c.agreed(asked, "%s events and %s refused requests will be erased for good.", matched, refused); err != nil || !do {
		return err
	}
	if err := s.Post(ctx, "/erasures", body, &raw); err != nil {
		return err
	}
	made, err := output.Parse(raw)
	if err != nil {
		return err
	}
	erasureID := output.TextAt(made, "id")
	if watch {
		return s.watchErasure(ctx, erasureID)
	}
	return s.out.One(raw, erasureID, func() error {
		return s.out.Say("erasure %s of %s events; see: gateway erasures show %s", erasureID, matched, erasureID)
	})
}

// showFound prints what an order would erase.
func (s *session) showFound(found map[string]any, matched, refused string) error {
	if err := s.out.Say("%s events and %s refused requests would be erased; %s other events would lose their original body", matched, refused, output.TextAt(found, "others")); err != nil {
		return err
	}
	if err := s.out.Fields(fieldsGiven(found,
		output.Column{Title: "looked at", Path: "looked"}, output.Column{Title: "oldest", Path: "oldest", Kind: output.Time},
		output.Column{Title: "newest", Path: "newest", Kind: output.Time}, output.Column{Title: "the oldest", Path: "first"})); err != nil {
		return err
	}
	return s.table(found, "bySource", "By source", []output.Column{
		{Title: "SOURCE", Path: "source"}, {Title: "EVENTS", Path: "events", Kind: output.Number}})
}

func (s *session) erasure(ctx context.Context, erasureID string) (json.RawMessage, error) {
	erasureID, err := validID("erasures", erasureID)
	if err != nil {
		return nil, err
	}
	var raw json.RawMessage
	_, err = s.Get(ctx, "/erasures/"+erasureID, nil, &raw)
	return raw, err
}

func (s *session) showErasure(item map[string]any) error {
	return s.out.Fields(fieldsOf(item,
		output.Column{Title: "id", Path: "id"}, output.Column{Title: "status", Path: "status", Kind: output.State}, output.Column{Title: "kind", Path: "kind"},
		output.Column{Title: "paths", Path: "paths"}, output.Column{Title: "source", Path: "source"}, output.Column{Title: "stage", Path: "stage"},
		output.Column{Title: "looked at", Path: "looked"}, output.Column{Title: "unreadable", Path: "unreadable"}, output.Column{Title: "limited", Path: "limited"},
		output.Column{Title: "events", Path: "counts.events"}, output.Column{Title: "webhooks", Path: "counts.webhooks"}, output.Column{Title: "others", Path: "counts.others"},
		output.Column{Title: "deliveries", Path: "counts.deliveries"}, output.Column{Title: "answers", Path: "counts.answers"},
		output.Column{Title: "dead letters", Path: "counts.deadLetters"}, output.Column{Title: "refused", Path: "counts.quarantined"},
		output.Column{Title: "reason", Path: "reason"}, output.Column{Title: "requested by", Path: "requestedBy"}, output.Column{Title: "key", Path: "createdBy"},
		output.Column{Title: "created", Path: "createdAt", Kind: output.Time}, output.Column{Title: "ended", Path: "endedAt", Kind: output.Time}))
}

func (c *command) erasuresShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show ERASURE", Short: "Show an erasure with its counts", Args: cobra.ExactArgs(1)}
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		raw, err := s.erasure(ctx, args[0])
		if err != nil {
			return err
		}
		return s.one(raw, "id", s.showErasure)
	})
	return cmd
}

// erasurePoll is how often an erasure's progress is read.
const erasurePoll = time.Second

// watchErasure shows an erasure's progress until it ends.
func (s *session) watchErasure(ctx context.Context, erasureID string) error {
	for {
		raw, err := s.erasure(ctx, erasureID)
		if err != nil {
			return err
		}
		item, err := output.Parse(raw)
		if err != nil {
			return err
		}
		if output.TextAt(item, "endedAt") != "" {
			return s.one(raw, "id", s.showErasure)
		}
		if !s.c.api.quiet {
			_, _ = fmt.Fprintf(s.c.stderr, "%s: looked at %s events, erased %s\n", output.Clean(output.TextAt(item, "status")), output.TextAt(item, "looked"), output.TextAt(item, "counts.events"))
		}
		if !clock.Sleep(ctx, erasurePoll) {
			return nil
		}
	}
}

func (c *command) erasuresCancel() *cobra.Command {
	cmd := &cobra.Command{Use: "cancel ERASURE", Short: "End an erasure; what it has erased stays erased", Args: cobra.ExactArgs(1)}
	asked := addConsent(cmd)
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		erasureID, err := validID("erasures cancel", args[0])
		if err != nil {
			return err
		}
		if do, err := c.agreed(asked, "The erasure %s will end; what it has erased stays erased.", erasureID); err != nil || !do {
			return err
		}
		var raw json.RawMessage
		if err := s.Post(ctx, "/erasures/"+erasureID+"/cancel", map[string]any{}, &raw); err != nil {
			return err
		}
		return s.done(raw, erasureID, "cancelled erasure %s", erasureID)
	})
	return cmd
}
