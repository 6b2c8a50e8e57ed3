package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"integration-gateway/platform/app"
	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/cli/target"
	"integration-gateway/platform/client"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
)

// apiFlags are the flags of the commands that speak the API.
type apiFlags struct {
	target.Flags
	format           string
	json, quiet, utc bool
}

// addAPIFlags gives a command, and those below it, the flags that say where the API is and how
// to print.
func (c *command) addAPIFlags(cmd *cobra.Command) {
	c.addTargetFlags(cmd)
	c.addOutputFlags(cmd)
}

func (c *command) addTargetFlags(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&c.api.API, "api", "", "address of the gateway (default $"+target.VariableURL+"; see: gateway help contexts)")
	flags.StringVar(&c.api.Context, "context", "", "use this context")
	flags.StringVar(&c.api.KeyFile, "key-file", "", "file with the management key (default $"+target.VariableKey+", or the context's)")
	_ = cmd.RegisterFlagCompletionFunc("context", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		all, _ := target.Load() // without contexts there is nothing to complete
		return all.Names(), cobra.ShellCompDirectiveNoFileComp
	})
}

func (c *command) addOutputFlags(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVarP(&c.api.format, "output", "o", string(output.Table), "table, wide, json, jsonl, yaml or csv")
	flags.BoolVar(&c.api.json, "json", false, "the same as -o json")
	flags.BoolVarP(&c.api.quiet, "quiet", "q", false, "print ids only, or nothing")
	flags.BoolVar(&c.api.utc, "utc", false, "print absolute times")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "wide", "json", "jsonl", "yaml", "csv"}, cobra.ShellCompDirectiveNoFileComp))
}

// addReportFlags gives a command on the database the flags that say how to print its one report.
func (c *command) addReportFlags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&c.api.format, "output", "o", string(output.Table), "table, json, jsonl, yaml or csv")
	cmd.Flags().BoolVar(&c.api.json, "json", false, "the same as -o json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "jsonl", "yaml", "csv"}, cobra.ShellCompDirectiveNoFileComp))
}

// report prints a report as the flags ask. run writes it for people or as JSON; its error may say
// what the report found.
func (c *command) report(run func(out io.Writer, asJSON bool) error) error {
	p, err := c.printer()
	if err != nil {
		return err
	}
	if format := output.Format(c.api.format); format == output.Table || format == output.Wide {
		return run(c.stdout, false)
	}
	var text bytes.Buffer
	found := run(&text, true)
	if text.Len() == 0 {
		return found
	}
	return errors.Join(p.One(text.Bytes(), "", nil), found)
}

// printer makes the printer that the flags ask for.
func (c *command) printer() (*output.Printer, error) {
	if c.api.json {
		c.api.format = string(output.JSON)
	}
	format, err := output.ParseFormat(c.api.format)
	if err != nil {
		return nil, usage("--output " + err.Error())
	}
	o := output.Options{Format: format, Quiet: c.api.quiet, UTC: c.api.utc, Now: clock.System}
	if f, is := c.terminal(); is {
		o.Width, _, _ = term.GetSize(int(f.Fd()))
		o.Colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return output.New(c.raw, o), nil
}

// terminal returns the terminal that results are printed on, if it is one.
func (c *command) terminal() (*os.File, bool) {
	f, is := c.raw.(*os.File)
	return f, is && term.IsTerminal(int(f.Fd()))
}

// session is a command's connection to the API.
type session struct {
	*client.Client
	c     *command
	out   *output.Printer
	local *app.LocalAPI // nil over the network
	at    target.Target
}

// onAPI makes the RunE of a command that speaks the API.
func (c *command) onAPI(do func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return c.onAPIWith(false, do)
}

// onAPIWith is onAPI; withBroker says that the command publishes messages where it works on
// the database.
func (c *command) onAPIWith(withBroker bool, do func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s, err := c.connect(cmd.Context(), withBroker)
		if err != nil {
			return err
		}
		err = do(cmd.Context(), s, args)
		if s.local != nil {
			err = errors.Join(err, s.local.Close())
		}
		return s.explained(err)
	}
}

// connect finds the API: of the gateway that is named, or in this process on the database.
func (c *command) connect(ctx context.Context, withBroker bool) (*session, error) {
	out, err := c.printer()
	if err != nil {
		return nil, err
	}
	t, err := target.Resolve(c.api.Flags, os.Getenv, app.DefaultDataDir)
	if err != nil {
		return nil, usage(err.Error())
	}
	s := &session{c: c, out: out, at: t}
	o := client.Options{URL: t.URL, Key: t.Key, UserAgent: "gateway-cli/" + version()}
	if t.URL == "" {
		if s.local, err = c.openLocal(ctx, withBroker); err != nil {
			return nil, err
		}
		o.URL, o.Transport = "http://localhost", s.local
	}
	if t.Login != nil {
		tokens, err := tokensOf(t)
		if err != nil {
			return nil, err
		}
		o.Token = tokens.Token
	}
	if s.Client, err = client.New(o); err != nil {
		return nil, usage(t.From + " " + err.Error())
	}
	if u, _ := url.Parse(s.URL()); s.local == nil && u != nil && u.Scheme == "http" && t.Key != "" && !target.Loopback(u.Hostname()) {
		c.warn("the management key is sent unencrypted to %s: use https", u.Host)
	}
	return s, nil
}

func (c *command) openLocal(ctx context.Context, withBroker bool) (*app.LocalAPI, error) {
	cfg, log, err := c.loadTool()
	if mistakes := (config.Mistakes{}); errors.As(err, &mistakes) && len(mistakes) == 1 && mistakes[0].Name == "DATABASE_URL" && mistakes[0].Problem == config.NotSet {
		return nil, usage("no gateway is named, and none runs here: use --api URL, GATEWAY_API_URL or a context, or set DATABASE_URL to work on the database\n" +
			mistakes.Error())
	}
	if err != nil {
		return nil, err
	}
	return app.OpenLocalAPI(ctx, cfg, log, withBroker)
}

// explained adds to an error what the person can do.
func (s *session) explained(err error) error {
	var answered *client.Error
	var unreachable *client.Unreachable
	if hint, known := loginHint(err, s.at); known {
		return &hinted{err, hint}
	}
	switch {
	case errors.As(err, &answered) && answered.Status == 401:
		return &hinted{err, "give a management key with $" + target.VariableKey + " or --key-file (the gateway was named by " + s.at.From + ")"}
	case errors.As(err, &answered) && answered.Status == 404 && answered.Message == "There is no such route.":
		return &hinted{err, "the gateway is older than this command"}
	case errors.As(err, &unreachable) && strings.HasSuffix(s.at.From, target.FromDev):
		return &hinted{err, "it was named by " + s.at.From + ": start it again, or remove the file"}
	case errors.As(err, &unreachable):
		return &hinted{err, "it was named by " + s.at.From}
	}
	return err
}

// hinted is an error with a hint.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }
