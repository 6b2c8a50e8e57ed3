package cli

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
)

var replayStates = []string{"queued", "running", "paused", "completed", "cancelled"}

// replayFilter are the flags that choose the events of a replay.
var replayFilter = []param{
	{flag: "source", name: "source", help: "events of this source"},
	{flag: "type", name: "eventType", help: "of this type"},
	{flag: "subject", name: "subject", help: "with this subject"},
	{flag: "status", name: "status", help: "those", oneOf: eventStates},
	{flag: "since", name: "receivedFrom", help: "received at or after: " + momentHelp, time: true},
	{flag: "until", name: "receivedTo", help: "received at or before", time: true},
	{flag: "delivered-from", name: "deliveredFrom", help: "delivered at or after", time: true},
	{flag: "delivered-to", name: "deliveredTo", help: "delivered at or before", time: true},
	{flag: "destination", name: "destination", help: "those for this destination (its id)"},
	{flag: "only-failed", name: "onlyFailed", help: "those whose last delivery failed", isBool: true},
	{flag: "only-never-delivered", name: "onlyNeverDelivered", help: "those that were never delivered", isBool: true},
}

func (c *command) replays() *cobra.Command {
	cmd := group("replays", "Send many events again, with a dry run, progress and pause", "",
		c.replaysCreate(),
		c.list(listing{
			short: "List replays, newest first", path: "/replays",
			params: []param{
				{flag: "status", name: "status", help: "only those", oneOf: replayStates},
				{flag: "source", name: "source", help: "of this source alone"},
				{flag: "destination", name: "destinationId", help: "ordered for this destination (its id)"},
				{flag: "since", name: "createdFrom", help: "created at or after: " + momentHelp, time: true},
				{flag: "until", name: "createdTo", help: "created at or before", time: true},
			},
			columns: []output.Column{
				{Title: "ID", Path: "id", Kind: output.ID}, {Title: "STATUS", Path: "status", Kind: output.State},
				{Title: "MATCHED", Path: "counts.matched", Kind: output.Number}, {Title: "DELIVERED", Path: "counts.delivered", Kind: output.Number},
				{Title: "FAILED", Path: "counts.failed", Kind: output.Number}, {Title: "CREATED", Path: "createdAt", Kind: output.Age},
				{Title: "BY", Path: "createdBy"}, {Title: "REASON", Path: "reason"},
				{Title: "QUEUED", Path: "counts.queued", Kind: output.Number, Wide: true}, {Title: "RATE", Path: "rate", Kind: output.Number, Wide: true},
				{Title: "FILTER", Path: "filter", Wide: true},
			},
			empty: "There was no replay. See: gateway replays create --help",
		}),
		c.replaysShow(), c.replaysWatch(), c.replaysEvents(),
		c.replaysChange("pause", "Pause a replay; nothing more is sent until it is resumed", "paused", false),
		c.replaysChange("resume", "Resume a paused replay", "resumed", false),
		c.replaysChange("cancel", "End a replay; what was not sent yet is not sent", "cancelled", true))
	c.addAPIFlags(cmd)
	return cmd
}

func (c *command) replaysCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create --reason TEXT", Short: "Send all events again that match a filter", Args: cobra.NoArgs,
		Long: `Counts what matches, asks for confirmation, and has a worker send it, the oldest first. Give
a filter, or --all. With --watch it shows the progress until it ends, and exits with 1 if a
delivery failed.

Events go to the same destinations as before, to one of them (--to), or once to a URL that is
none (--to-url), which needs the role admin. With --renormalize they are sent as the mapping of
now makes them of the stored webhooks; --dry-run then shows what that changes.`,
		Example: `  gateway replays create --source shop --since 2026-01-31T14:00:00Z --until 2026-01-31T14:20:00Z --reason "receiver lost everything"
  gateway replays create --only-failed --since 2h --rate 50 --reason "receiver was down" --dry-run
  gateway replays create --source shop --since 1h --renormalize --reason "the mapping was wrong" --dry-run
  gateway replays create --source shop --since 1h --to-url https://debug.example/in --signing-secret-env DEBUG --reason "to look at them"`,
	}
	f := addFilters(cmd, replayFilter)
	var all, watch, renormalize bool
	var rate int
	var reason, to string
	cmd.Flags().BoolVar(&all, "all", false, "every event")
	cmd.Flags().IntVar(&rate, "rate", 0, "events a second at most; 0 for the gateway's default")
	cmd.Flags().StringVar(&reason, "reason", "", "why, 5 to 500 characters")
	cmd.Flags().StringVar(&to, "to", "", "only to this destination (id or URL)")
	cmd.Flags().BoolVar(&renormalize, "renormalize", false, "send events as the mapping of now makes them")
	where := addURLFlags(cmd)
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show the progress until it ends")
	asked := addConsent(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case all == f.given():
			return usage("replays create: give a filter, or --all")
		case to != "" && where.url != "":
			return usage("replays create: give --to or --to-url, not both")
		case rate < 0:
			return usage("replays create: --rate must be at least 0")
		case reason == "" && !asked.dryRun:
			return usage("replays create: give the reason with --reason")
		}
		filter, err := f.fields()
		if err != nil {
			return err
		}
		body := replayBody(all, filter, reason, rate)
		if renormalize {
			body["payload"] = "renormalized"
		}
		if err := where.into("replays create", body); err != nil {
			return err
		}
		return c.onAPI(func(ctx context.Context, s *session, _ []string) error {
			return s.createReplay(ctx, body, to, asked, watch)
		})(cmd, args)
	}
	return cmd
}

// replayBody is a request for a replay of all events, or of those that match; "" and 0 leave the gateway's defaults.
func replayBody(all bool, filter map[string]any, reason string, rate int) map[string]any {
	body := map[string]any{}
	if all {
		body["all"] = true
	} else {
		body["filter"] = filter
	}
	if reason != "" {
		body["reason"] = reason
	}
	if rate > 0 {
		body["rate"] = rate
	}
	return body
}

// errNothingMatched is the error of a replay of nothing.
var errNothingMatched = errors.New("no event matches, so nothing was sent")

func (s *session) createReplay(ctx context.Context, body map[string]any, to string, asked *consent, watch bool) error {
	if to != "" {
		d, err := s.destination(ctx, to)
		if err != nil {
			return err
		}
		body["destination"] = d.ID
	}
	dry := map[string]any{"dryRun": true}
	for name, value := range body {
		dry[name] = value
	}
	var raw json.RawMessage
	if err := s.Post(ctx, "/replays", dry, &raw); err != nil {
		return err
	}
	counted, err := output.Parse(raw)
	if err != nil {
		return err
	}
	matched := firstOf(counted, "events", "counts.matched")
	if output.At(counted, "complete") == false {
		matched = "more than " + matched
	}
	if asked.dryRun {
		return s.out.One(raw, matched, func() error { return s.showDryRun(counted, matched) })
	}
	if matched == "0" {
		return errNothingMatched
	}
	if do, err := s.c.agreed(asked, "%s events will be sent again.", matched); err != nil || !do {
		return err
	}
	if err := s.Post(ctx, "/replays", body, &raw); err != nil {
		return err
	}
	made, err := output.Parse(raw)
	if err != nil {
		return err
	}
	replayID := output.TextAt(made, "id")
	if watch {
		return s.watchReplay(ctx, replayID)
	}
	return s.out.One(raw, replayID, func() error {
		return s.out.Say("replay %s of %s events; see: gateway replays watch %s", replayID, matched, replayID)
	})
}

// showDryRun prints what a replay would send, with all that the gateway says of it.
func (s *session) showDryRun(counted map[string]any, matched string) error {
	if err := s.out.Say("%s events would be sent again, in %s deliveries", matched, output.TextAt(counted, "counts.matched")); err != nil {
		return err
	}
	if err := s.out.Fields(fieldsGiven(counted,
		output.Column{Title: "oldest", Path: "oldest", Kind: output.Time}, output.Column{Title: "newest", Path: "newest", Kind: output.Time})); err != nil {
		return err
	}
	err := s.table(counted, "bySource", "By source", []output.Column{
		{Title: "SOURCE", Path: "source"}, {Title: "EVENTS", Path: "events", Kind: output.Number}, {Title: "DELIVERIES", Path: "deliveries", Kind: output.Number}})
	if err != nil {
		return err
	}
	err = s.table(counted, "byDestination", "By destination", []output.Column{
		{Title: "DESTINATION", Path: "destination", Kind: output.ID}, {Title: "DELIVERIES", Path: "deliveries", Kind: output.Number}})
	if err != nil {
		return err
	}
	if err := s.showChanges(counted); err != nil {
		return err
	}
	return s.table(counted, "first", "The oldest", []output.Column{
		{Title: "EVENT", Path: "eventId", Kind: output.ID}, {Title: "RECEIVED", Path: "receivedAt", Kind: output.Time}, {Title: "SOURCE", Path: "source"},
		{Title: "TYPE", Path: "eventType"}, {Title: "SUBJECT", Path: "subject"}, {Title: "DESTINATIONS", Path: "destinations", Wide: true}})
}

// fieldsGiven is fieldsOf without those that there are not.
func fieldsGiven(item map[string]any, lines ...output.Column) []output.Field {
	var given []output.Field
	for _, f := range fieldsOf(item, lines...) {
		if f.Text != "" {
			given = append(given, f)
		}
	}
	return given
}
