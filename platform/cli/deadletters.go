package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

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

// bulkDeadParams select the dead letters of a bulk requeue or closing.
var bulkDeadParams = append([]param{{flag: "error", name: "error", help: "only with exactly this reason, as the list shows it"}}, deadLetterParams...)

// deadLetterAct is what `gateway dead-letters requeue` or resolve was told.
type deadLetterAct struct {
	verb       string // "requeue" or "resolve", as in the API's paths
	filter     *filters
	all        bool
	limit      int
	by, reason string
	consent    // whether to do it; a requeue does not ask
}

func newDeadLetterAct(cmd *cobra.Command, verb string) *deadLetterAct {
	r := &deadLetterAct{verb: verb, filter: addFilters(cmd, bulkDeadParams)}
	cmd.Flags().BoolVar(&r.all, "all", false, verb+" every open dead letter")
	cmd.Flags().IntVar(&r.limit, "limit", 0, verb+" at most so many, oldest first; 0 for all")
	cmd.Flags().StringVar(&r.by, "requested-by", "", "who asks for it (default the key's name)")
	cmd.Flags().StringVar(&r.reason, "reason", "", "why, 5 to 500 characters")
	return r
}

// check refuses a command line that names neither or both of one and many.
func (r *deadLetterAct) check(args []string) (err error) {
	one, command := len(args) == 1, "dead-letters "+r.verb
	switch {
	case one && (r.all || r.filter.given() || r.dryRun || r.limit != 0):
		return usage(command + ": give an id or a filter, not both")
	case !one && r.all == r.filter.given():
		return usage(command + ": give an id, a filter, or --all")
	case r.limit < 0:
		return usage(command + ": --limit must be at least 0")
	}
	if one {
		if args[0], err = validID(command, args[0]); err != nil {
			return err
		}
	}
	_, err = r.filter.query()
	return err
}

// requester adds who asks, and why.
func (r *deadLetterAct) requester(body map[string]any) map[string]any {
	if r.by != "" {
		body["requestedBy"] = r.by
	}
	if r.reason != "" {
		body["reason"] = r.reason
	}
	return body
}

func (c *command) deadLettersRequeue() *cobra.Command {
	cmd := &cobra.Command{
		Use: "requeue [ID]", Short: "Requeue one dead letter, or all that match a filter",
		Long: `A delivery becomes a replay to its destination, with a new budget of attempts; a message
returns to the process queue. Give an id, a filter, or --all. Exits with 1 if nothing was
requeued, or something could not be.`,
		Args: cobra.MaximumNArgs(1),
	}
	r := newDeadLetterAct(cmd, "requeue")
	status := cmd.Flags().String("status", "open", "open: others cannot be requeued")
	cmd.Flags().BoolVar(&r.dryRun, "dry-run", false, "only count what would be requeued")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *status != "open" {
			return usage("dead-letters requeue: only open ones can be requeued, so --status must be open")
		}
		if err := r.check(args); err != nil {
			return err
		}
		return c.onAPIWith(!r.dryRun, func(ctx context.Context, s *session, args []string) error {
			if len(args) == 1 {
				return s.requeueOne(ctx, args[0], r)
			}
			return s.deadLettersInBulk(ctx, r)
		})(cmd, args)
	}
	return cmd
}

func (s *session) requeueOne(ctx context.Context, deadLetterID string, r *deadLetterAct) error {
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
