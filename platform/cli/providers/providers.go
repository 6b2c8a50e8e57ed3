// Package providers makes the commands that list, show and try definitions of providers.
package providers

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/provider/schema"
	"integration-gateway/platform/secret"
)

// SecretVariable holds the secret if it should not be on the command line.
const SecretVariable = "GATEWAY_SEND_SECRET"

// Deps is what the commands need from outside.
type Deps struct {
	Out   io.Writer
	Known func() (provider.Registry, error) // the built-in providers and the configuration's
	Now   func() time.Time
}

// Commands returns the commands.
func Commands(d Deps) []*cobra.Command {
	return []*cobra.Command{d.list(), d.show(), d.test(), d.schema()}
}

func (d Deps) list() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the providers", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			known, err := d.Known()
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(d.Out, 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(table, "NAME\tTITLE\tMADE OF\tCHECKED AGAINST")
			for _, s := range known.Specs() {
				_, shipped := provider.ShippedDefinition(s.Name)
				made := map[bool]string{true: "definition", false: "code"}[shipped || s.Checked != ""]
				_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", s.Name, s.Title, made, s.Checked)
			}
			return table.Flush()
		},
	}
}

func (d Deps) show() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Print the definition of a provider",
		Long: `Prints the definition of a provider that comes with the gateway, in YAML. It is a good
beginning for one of your own.`,
		Example: "  gateway providers show github",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text, ok := provider.ShippedDefinition(args[0])
			if ok {
				_, err := d.Out.Write(text)
				return err
			}
			if _, builtin := provider.Builtin().Spec(args[0]); builtin {
				return fmt.Errorf("the provider %s is made of code and has no definition", args[0])
			}
			return fmt.Errorf("no provider %s comes with the gateway; list them with: gateway providers list", args[0])
		},
	}
}

func (d Deps) schema() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of definitions", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := d.Out.Write(schema.JSON())
			return err
		},
	}
}

func (d Deps) test() *cobra.Command {
	var t trial
	cmd := &cobra.Command{
		Use: "test FILE --request FILE", Short: "Try a definition on a recorded request",
		Long: `Checks a definition, and shows what it makes of a request, step by step: what is read, what
is signed, whether the secret matches, and the events. FILE is a definition in YAML or
JSON, or the name of a provider. The request is a file with an HTTP request as it is sent:

  POST /api/v1/webhooks/initech HTTP/1.1
  Content-Type: application/json
  X-Initech-Signature: sha256=…

  {"type":"order.made"}

or a recording of this gateway's tests (.json beside .body), which brings its secret. Signed
times are compared with the recording's time, or else with the header Date, or else with now.
Nothing is sent or stored. Exits with 0 if the request becomes events or is a handshake.`,
		Example: `  gateway providers test initech.yaml
  gateway providers test initech.yaml --request order.http --secret "$SECRET"`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return d.try(args[0], t) },
	}
	cmd.Flags().StringVar(&t.file, "request", "", "the recorded request; without one only the definition is checked")
	cmd.Flags().StringVar(&t.key, "secret", "", "the integration's secret (default $"+SecretVariable+", or the recording's)")
	cmd.Flags().StringVar(&t.public, "public-url", "", "the webhook's URL as configured at the provider, if the provider signs it (default the request's)")
	cmd.Flags().StringVar(&t.from, "from", "", "the client's address, for definitions with a list of addresses")
	cmd.Flags().StringVar(&t.keys, "keys", "", "a file with the issuer's key set (JWKS), for definitions that download one")
	return cmd
}

// trial is what the flags of the command test say.
type trial struct{ file, key, public, from, keys string }

// try checks a definition, and what it makes of a request if one is given.
func (d Deps) try(name string, t trial) error {
	spec, err := d.spec(name)
	if err != nil {
		return err
	}
	if spec, err = spec.WithPublicURL(t.public); err != nil {
		return err
	}
	d.print("definition", spec.Name+": correct", false)
	if t.file == "" {
		return nil
	}
	sent, err := readRequest(t.file, d.Now())
	if err != nil {
		return err
	}
	if t.from != "" {
		if sent.request.Client, err = netip.ParseAddr(t.from); err != nil {
			return fmt.Errorf("--from is not an address: %s", t.from)
		}
	}
	if t.keys != "" {
		if sent.request.KeySet, err = keySet(t.keys); err != nil {
			return err
		}
	}
	if key := cmp.Or(t.key, os.Getenv(SecretVariable)); key != "" {
		sent.secret = key
	}
	return d.explain(spec, sent)
}

// spec reads a definition, or finds a provider by its name.
func (d Deps) spec(name string) (provider.Spec, error) {
	text, err := os.ReadFile(name) //nolint:gosec // the file that the user names
	if err == nil {
		spec, err := provider.FromFile(text)
		if err != nil {
			if f := fault.As(err); f != nil && len(f.Fields) > 0 {
				return spec, fmt.Errorf("%s: %s: %s", name, f.Fields[0].Field, f.Message)
			}
			return spec, fmt.Errorf("%s: %w", name, err)
		}
		return spec, nil
	}
	known, failure := d.Known()
	if failure != nil {
		return provider.Spec{}, failure
	}
	if spec, ok := known.Spec(name); ok {
		return spec, nil
	}
	return provider.Spec{}, fmt.Errorf("neither a file nor a provider: %w", err)
}

func (d Deps) explain(spec provider.Spec, sent recording) error {
	var secrets []provider.Secret
	if sent.secret != "" {
		secrets = []provider.Secret{{ID: "given", Value: secret.New(sent.secret)}}
	}
	for _, f := range spec.Explain(sent.request, secrets) {
		d.print(f.Step, f.Result, f.Failed)
		if f.Failed {
			return fmt.Errorf("the request is refused: %s", f.Step)
		}
	}
	return nil
}

func (d Deps) print(step, result string, failed bool) {
	mark := "ok"
	if failed {
		mark = "FAILED"
	}
	_, _ = fmt.Fprintf(d.Out, "%-7s %s: %s\n", mark, step, strings.ToValidUTF8(result, "?"))
}
