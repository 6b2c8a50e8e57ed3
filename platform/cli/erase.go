package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/clock"
)

// erasureFlags are the flags that say what to erase, of both commands.
type erasureFlags struct {
	subject, value, source, since, until, reason string
	events, paths                                []string
	limit                                        int
	all                                          bool
}

func addErasureFlags(cmd *cobra.Command) *erasureFlags {
	f := &erasureFlags{}
	cmd.Flags().StringVar(&f.subject, "subject", "", "events with exactly this subject")
	cmd.Flags().StringSliceVar(&f.events, "event", nil, "events with these ids; may be given several times")
	cmd.Flags().StringVar(&f.value, "value", "", "events that hold exactly this value at a --path")
	cmd.Flags().StringArrayVar(&f.paths, "path", nil, "where the value is, such as $.data.email; may be given several times")
	cmd.Flags().StringVar(&f.source, "source", "", "only records of this source")
	cmd.Flags().Var((*moment)(&f.since), "since", "only records received at or after: "+momentHelp)
	cmd.Flags().Var((*moment)(&f.until), "until", "only records received at or before")
	cmd.Flags().BoolVar(&f.all, "all", false, "look for a value in the events of all sources and times")
	cmd.Flags().IntVar(&f.limit, "limit", 0, "events to erase at most; 0 for no limit")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, 5 to 500 characters")
	return f
}

// order returns the order. Its fields are those of the API.
func (f *erasureFlags) order(cmd *cobra.Command) app.ErasureOrder {
	given := cmd.Flags().Changed
	text := func(flag string, value *string) *string {
		if given(flag) {
			return value
		}
		return nil
	}
	o := app.ErasureOrder{EventIDs: f.events, Paths: f.paths, Subject: text("subject", &f.subject), Value: text("value", &f.value),
		Source: text("source", &f.source), Reason: text("reason", &f.reason), ReceivedFrom: timeOf(f.since), ReceivedTo: timeOf(f.until)}
	if f.all {
		o.All = &f.all
	}
	if f.limit != 0 {
		o.Limit = &f.limit
	}
	return o
}

// timeOf reads a moment; nil of "".
func timeOf(text string) *clock.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return nil
	}
	at := clock.At(t)
	return &at
}

// flagOf names the flags after the API's fields.
var flagOf = map[string]string{"eventIds": "event", "paths": "path", "receivedFrom": "since", "receivedTo": "until"}

// mistakes returns the usage error of an invalid order.
func (f *erasureFlags) mistakes(command string, o app.ErasureOrder) error {
	var wrong []string
	for _, m := range (app.EraseOptions{Order: o}).Check() {
		name, _, _ := strings.Cut(m.Field, "[")
		if flag, ok := flagOf[name]; ok {
			name = flag
		}
		wrong = append(wrong, "--"+name+" "+m.Message)
	}
	if len(wrong) == 0 {
		return nil
	}
	return usage(command + ": " + strings.Join(wrong, "; "))
}

func (c *command) erase() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "erase --subject SUBJECT | --event ID | --value VALUE --path PATH",
		Short: "Erase a person's data from the records",
		Long: `Works directly on the database, while the gateway runs; "gateway erasures create" does the same
over the API. It erases the events of a subject, events by their ids, or the events that hold a
value at a JSON path: the payload, the webhook's body and headers, and the destinations'
responses. Open deliveries are ended, and the events cannot be replayed. Refused requests with
the subject or value are deleted. The events' records stay, marked as erased, and so does the
audit trail. If it is interrupted, a worker goes on. It does not reach backups, nor what
destinations have received.`,
		Example: `  gateway erase --subject ada@example.com --dry-run
  gateway erase --value ada@example.com --path '$.data.email' --source shop --since 90d --yes`,
		Args: cobra.NoArgs,
	}
	f := addErasureFlags(cmd)
	var o app.EraseOptions
	var yes bool
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only count what would be erased")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.Order = f.order(cmd)
		if o.Order.Reason == nil {
			by := "gateway erase"
			o.Order.Reason = &by
		}
		if err := f.mistakes("erase", o.Order); err != nil {
			return err
		}
		o.Out, o.Err, o.Confirm = c.stdout, c.stderr, c.confirm(yes)
		cfg, log, err := c.loadTool()
		if err != nil {
			return err
		}
		return app.Erase(cmd.Context(), cfg, log, o)
	}
	return cmd
}
