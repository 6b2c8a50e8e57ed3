package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/cli/output"
)

var deadLetterParams = []param{
	{flag: "kind", name: "kind", help: "only those", oneOf: []string{"exhausted", "refused", "unreadable"}},
	{flag: "source", name: "source", help: "only of this source"},
	{flag: "provider", name: "provider", help: "only of this provider"},
	{flag: "event-type", name: "eventType", help: "only of events of this type"},
	{flag: "destination-id", name: "destinationId", help: "only to this destination"},
	{flag: "event-id", name: "eventId", help: "only of this event"},
	{flag: "from", name: "createdFrom", help: "created at or after: " + momentHelp, time: true},
	{flag: "to", name: "createdTo", help: "created at or before", time: true},
}

func (c *command) deadLetters() *cobra.Command {
	cmd := group("dead-letters", "List, requeue and close failed deliveries", `Dead letters are deliveries whose attempts are used up or that were refused (410), and
messages that could not be read.`,
		c.list(listing{
			short: "List dead letters, newest first", path: "/dead-letters",
			params: append([]param{{flag: "status", name: "status", help: "only those", oneOf: []string{"open", "requeued", "resolved"}}}, deadLetterParams...),
			columns: []output.Column{
				{Title: "ID", Path: "id", Kind: output.ID}, {Title: "CREATED", Path: "createdAt", Kind: output.Age},
				{Title: "KIND", Path: "kind", Kind: output.State}, {Title: "STATUS", Path: "status"}, {Title: "REASON", Path: "reason"},
				{Title: "SOURCE", Path: "source"}, {Title: "TRIES", Path: "attempts", Kind: output.Number}, {Title: "TYPE", Path: "eventType"},
				{Title: "EVENT", Path: "eventId", Kind: output.ID, Wide: true}, {Title: "DESTINATION", Path: "destinationId", Kind: output.ID, Wide: true},
			},
			empty: "No dead letter matches.",
		}),
		c.deadLettersShow(), c.deadLettersRequeue(), c.deadLettersResolve())
	c.addAPIFlags(cmd)
	return cmd
}

// validID returns an argument that must be the id of a record.
func validID(command, text string) (string, error) {
	valid, ok := app.ValidID(text)
	if !ok {
		return "", usage(command + ": the id must be a UUID")
	}
	return valid, nil
}

// beforeAPI is onAPI with a check of the command line first.
func (c *command) beforeAPI(check func(args []string) error, do func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(args); err != nil {
			return err
		}
		return c.onAPI(do)(cmd, args)
	}
}

func (c *command) deadLettersShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show one dead letter with its message", Args: cobra.ExactArgs(1)}
	check := func(args []string) (err error) {
		args[0], err = validID("dead-letters show", args[0])
		return err
	}
	cmd.RunE = c.beforeAPI(check, func(ctx context.Context, s *session, args []string) error {
		var raw json.RawMessage
		if _, err := s.Get(ctx, "/dead-letters/"+args[0], nil, &raw); err != nil {
			return err
		}
		return s.one(raw, "id", func(item map[string]any) error {
			return s.out.Fields(fieldsOf(item,
				output.Column{Title: "id", Path: "id"}, output.Column{Title: "kind", Path: "kind", Kind: output.State}, output.Column{Title: "status", Path: "status"},
				output.Column{Title: "queue", Path: "queue"}, output.Column{Title: "event", Path: "eventId"}, output.Column{Title: "destination", Path: "destinationId"},
				output.Column{Title: "job", Path: "jobId"}, output.Column{Title: "source", Path: "source"}, output.Column{Title: "provider", Path: "provider"},
				output.Column{Title: "event type", Path: "eventType"}, output.Column{Title: "attempts", Path: "attempts"}, output.Column{Title: "reason", Path: "reason"},
				output.Column{Title: "created", Path: "createdAt", Kind: output.Time}, output.Column{Title: "requeued", Path: "requeuedAt", Kind: output.Time},
				output.Column{Title: "requeued by", Path: "requeuedBy"}, output.Column{Title: "replay request", Path: "replayRequestId"},
				output.Column{Title: "resolved", Path: "resolvedAt", Kind: output.Time},
				output.Column{Title: "resolved by", Path: "resolvedBy"}, output.Column{Title: "resolution", Path: "resolution"}, output.Column{Title: "body", Path: "body", Kind: output.Body}))
		})
	})
	return cmd
}

func (c *command) deadLettersResolve() *cobra.Command {
	cmd := &cobra.Command{
		Use: "resolve ID --reason TEXT", Short: "Close a dead letter without another delivery", Args: cobra.ExactArgs(1),
		Long: `Closes an open dead letter: what it is about was settled in another way. Nothing is sent, and
the event keeps its status. The reason is shown, and in the audit trail.`,
		Example: `  gateway dead-letters resolve 0190a1b2-0000-7000-8000-000000000001 --reason "the order was corrected by hand"`,
	}
	by := cmd.Flags().String("requested-by", "", "who asks for it (default the key)")
	reason := cmd.Flags().String("reason", "", "why, 5 to 500 characters")
	check := func(args []string) (err error) {
		if *reason == "" {
			return usage("dead-letters resolve: give --reason")
		}
		args[0], err = validID("dead-letters resolve", args[0])
		return err
	}
	cmd.RunE = c.beforeAPI(check, func(ctx context.Context, s *session, args []string) error {
		body := map[string]any{"reason": *reason}
		if *by != "" {
			body["requestedBy"] = *by
		}
		var raw json.RawMessage
		if err := s.Post(ctx, "/dead-letters/"+args[0]+"/resolve", body, &raw); err != nil {
			return err
		}
		return s.done(raw, args[0], "closed %s; nothing is sent", args[0])
	})
	return cmd
}

// requeue is what `gateway dead-letters requeue` was told.
type requeue struct {
	filter     *filters
	all        bool
	dryRun     bool
	limit      int
	by, reason string
}

func (c *command) deadLettersRequeue() *cobra.Command {
	cmd := &cobra.Command{
		Use: "requeue [ID]", Short: "Requeue one dead letter, or all that match a filter",
		Long: `A delivery becomes a replay to its destination, with a new budget of attempts; a message
returns to the process queue. Give an id, a filter, or --all. Exits with 1 if nothing was
requeued, or something could not be.`,
		Args: cobra.MaximumNArgs(1),
	}
	r := &requeue{filter: addFilters(cmd, deadLetterParams)}
	status := cmd.Flags().String("status", "open", "open: others cannot be requeued")
	cmd.Flags().BoolVar(&r.all, "all", false, "requeue every open dead letter")
	cmd.Flags().BoolVar(&r.dryRun, "dry-run", false, "only count what would be requeued")
	cmd.Flags().IntVar(&r.limit, "limit", 0, "requeue at most so many, oldest first; 0 for all")
	cmd.Flags().StringVar(&r.by, "requested-by", "", "who requests it (default the key's name)")
	cmd.Flags().StringVar(&r.reason, "reason", "", "the reason, 5 to 500 characters")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		one := len(args) == 1
		switch {
		case *status != "open":
			return usage("dead-letters requeue: only open ones can be requeued, so --status must be open")
		case one && (r.all || r.filter.given() || r.dryRun || r.limit != 0):
			return usage("dead-letters requeue: give an id or a filter, not both")
		case !one && r.all == r.filter.given():
			return usage("dead-letters requeue: give an id, a filter, or --all")
		case r.limit < 0:
			return usage("dead-letters requeue: --limit must be at least 0")
		}
		if one {
			var err error
			if args[0], err = validID("dead-letters requeue", args[0]); err != nil {
				return err
			}
		}
		if _, err := r.filter.query(); err != nil {
			return err
		}
		return c.onAPIWith(!r.dryRun, func(ctx context.Context, s *session, args []string) error {
			if one {
				return s.requeueOne(ctx, args[0], r)
			}
			return s.requeueAll(ctx, r)
		})(cmd, args)
	}
	return cmd
}

// requester adds who asks, and why.
func (r *requeue) requester(body map[string]any) map[string]any {
	if r.by != "" {
		body["requestedBy"] = r.by
	}
	if r.reason != "" {
		body["reason"] = r.reason
	}
	return body
}

func (s *session) requeueOne(ctx context.Context, deadLetterID string, r *requeue) error {
	var raw json.RawMessage
	if err := s.Post(ctx, "/dead-letters/"+deadLetterID+"/requeue", r.requester(map[string]any{}), &raw); err != nil {
		return err
	}
	item, err := output.Parse(raw)
	if err != nil {
		return err
	}
	as := "its message is on the process queue"
	if request := output.TextAt(item, "replayRequestId"); request != "" {
		as = "as replay request " + request
	}
	return s.done(raw, deadLetterID, "requeued %s: %s", deadLetterID, as)
}

// requeuesAtOnce is how many the API requeues in one request.
const requeuesAtOnce = 1000

// requeued counts what was requeued.
type requeued struct {
	Matched  int `json:"matched"`
	Requeued int `json:"requeued"`
	Failed   int `json:"failed"`
	Skipped  int `json:"skipped"`
}

func (s *session) requeueAll(ctx context.Context, r *requeue) error {
	body, err := r.filter.fields()
	if err != nil {
		return err
	}
	r.requester(body)
	if r.all {
		body["all"] = true
	}
	if r.dryRun {
		return s.countRequeues(ctx, body, r.limit)
	}
	var sum requeued
	progress := s.c.progress()
	defer progress.done()
	for left := r.limit; ; {
		if body["limit"] = requeuesAtOnce; r.limit > 0 {
			body["limit"] = min(left, requeuesAtOnce)
		}
		var part requeued
		if err := s.Post(ctx, "/dead-letters/requeue", body, &part); err != nil {
			return fmt.Errorf("after %d: %w", sum.Requeued, err)
		}
		sum = requeued{sum.Matched + part.Matched, sum.Requeued + part.Requeued, sum.Failed + part.Failed, sum.Skipped + part.Skipped}
		progress.show("%d requeued", sum.Requeued)
		left -= part.Matched
		if part.Requeued == 0 || part.Failed > 0 || part.Matched < requeuesAtOnce || r.limit > 0 && left <= 0 {
			break
		}
	}
	progress.done()
	raw, err := json.Marshal(sum)
	if err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	if err := s.done(raw, "", "requeued %d of %d; %d cannot be requeued%s", sum.Requeued, sum.Matched, sum.Failed, meanwhile(sum.Skipped)); err != nil {
		return err
	}
	switch {
	case sum.Failed > 0:
		return fmt.Errorf("%d of %d cannot be requeued; see `gateway dead-letters show`", sum.Failed, sum.Matched)
	case sum.Requeued == 0:
		return &failure{exitFailed, "no open dead letter matches, so nothing was requeued"}
	}
	return nil
}

// meanwhile says how many dead letters were no longer open when it was their turn.
func meanwhile(skipped int) string {
	if skipped == 0 {
		return ""
	}
	return fmt.Sprintf("; %d were requeued, closed or removed meanwhile", skipped)
}

func (s *session) countRequeues(ctx context.Context, body map[string]any, limit int) error {
	body["dryRun"] = true
	if limit > 0 {
		body["limit"] = min(limit, requeuesAtOnce)
	}
	var raw json.RawMessage
	if err := s.Post(ctx, "/dead-letters/requeue", body, &raw); err != nil {
		return err
	}
	item, err := output.Parse(raw)
	if err != nil {
		return err
	}
	return s.done(raw, "", "%s would be requeued", output.TextAt(item, "matched"))
}
