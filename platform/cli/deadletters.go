package cli

import (
	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/config"
)

// deadLetterFlags holds the flags that list and requeue share, and the resulting options.
type deadLetterFlags struct {
	texts map[string]*string // by flag
	o     app.DeadLetterOptions
}

func (c *command) deadLetters() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead-letters",
		Short: "List and requeue failed deliveries",
		Long: `Works directly on the database. Dead letters are deliveries whose attempts are used up or
that were refused (410), and messages that could not be read.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usage("dead-letters: name a subcommand: list, show or requeue")
		},
	}
	cmd.AddCommand(c.deadLettersList(), c.deadLettersShow(), c.deadLettersRequeue())
	return cmd
}

func newDeadLetterFlags(cmd *cobra.Command, filter bool) *deadLetterFlags {
	f := &deadLetterFlags{texts: map[string]*string{}, o: app.DeadLetterOptions{Page: 1, PageSize: 20, RequestedBy: "cli-user"}}
	cmd.Flags().BoolVar(&f.o.JSON, "json", false, "print JSON")
	if !filter {
		return f
	}
	for _, flag := range []struct{ name, help string }{
		{"kind", "exhausted, refused or unreadable"}, {"status", "open, requeued or resolved"}, {"source", "source of the event"},
		{"provider", "provider of the event"}, {"event-type", "type of the event"}, {"destination-id", "destination that did not receive it"},
		{"event-id", "event that was not delivered"}, {"from", "created at this time or later (RFC 3339)"}, {"to", "created at this time or earlier (RFC 3339)"},
	} {
		f.texts[flag.name] = cmd.Flags().String(flag.name, "", flag.help)
	}
	return f
}

// options validates the flags and loads what the command needs.
func (f *deadLetterFlags) options(c *command) (app.DeadLetterOptions, error) {
	var err error
	if f.o.Filter, err = app.DeadLetterFilterOf(f.text); err != nil {
		return f.o, usage("dead-letters: " + err.Error())
	}
	if err := f.o.Check(); err != nil {
		return f.o, usage("dead-letters: " + err.Error())
	}
	f.o.Out = c.stdout
	return f.o, nil
}

func (f *deadLetterFlags) text(flag string) string {
	if value := f.texts[flag]; value != nil {
		return *value
	}
	return ""
}

func (f *deadLetterFlags) filtered() bool {
	for _, value := range f.texts {
		if *value != "" {
			return true
		}
	}
	return false
}

func (c *command) deadLettersList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List dead letters, newest first", Args: cobra.NoArgs}
	f := newDeadLetterFlags(cmd, true)
	cmd.Flags().IntVar(&f.o.Page, "page", f.o.Page, "page of the list")
	cmd.Flags().IntVar(&f.o.PageSize, "page-size", f.o.PageSize, "dead letters per page, at most 100")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o, err := f.options(c)
		if err != nil {
			return err
		}
		cfg, log, err := c.load(config.Options{Role: config.Migrate})
		if err != nil {
			return err
		}
		return app.ListDeadLetters(cmd.Context(), cfg, log, o)
	}
	return cmd
}

func (c *command) deadLettersShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show one dead letter with its message", Args: cobra.ExactArgs(1)}
	f := newDeadLetterFlags(cmd, false)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		deadLetterID, ok := app.ValidID(args[0])
		if !ok {
			return usage("dead-letters show: the id must be a UUID")
		}
		o, err := f.options(c)
		if err != nil {
			return err
		}
		cfg, log, err := c.load(config.Options{Role: config.Migrate})
		if err != nil {
			return err
		}
		return app.ShowDeadLetter(cmd.Context(), cfg, log, deadLetterID, o)
	}
	return cmd
}

func (c *command) deadLettersRequeue() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "requeue [ID]",
		Short: "Requeue one dead letter, or all that match a filter",
		Long: `A delivery becomes a replay to its destination, with a new budget of attempts; a message
returns to the process queue. Give an id, a filter, or --all.`,
		Args: cobra.MaximumNArgs(1),
	}
	f := newDeadLetterFlags(cmd, true)
	cmd.Flags().BoolVar(&all, "all", false, "requeue every open dead letter")
	cmd.Flags().BoolVar(&f.o.DryRun, "dry-run", false, "only count what would be requeued")
	cmd.Flags().IntVar(&f.o.Limit, "limit", 0, "requeue at most so many, oldest first; 0 for all")
	cmd.Flags().StringVar(&f.o.RequestedBy, "requested-by", f.o.RequestedBy, "who requests it")
	cmd.Flags().StringVar(&f.o.Reason, "reason", "", "the reason, 5 to 500 characters")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		one := len(args) == 1
		switch {
		case one && (all || f.filtered() || f.o.DryRun || f.o.Limit != 0):
			return usage("dead-letters requeue: give an id or a filter, not both")
		case !one && all == f.filtered():
			return usage("dead-letters requeue: give an id, a filter, or --all")
		}
		o, err := f.options(c)
		if err != nil {
			return err
		}
		deadLetterID, valid := "", true
		if one {
			deadLetterID, valid = app.ValidID(args[0])
		}
		if !valid {
			return usage("dead-letters requeue: the id must be a UUID")
		}
		cfg, log, err := c.load(config.Options{Role: config.Migrate})
		if err != nil {
			return err
		}
		if one {
			return app.RequeueDeadLetter(cmd.Context(), cfg, log, deadLetterID, o)
		}
		return app.RequeueDeadLetters(cmd.Context(), cfg, log, o)
	}
	return cmd
}
