package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/login"
	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/cli/target"
	"integration-gateway/platform/client"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

func (c *command) login() *cobra.Command {
	return &cobra.Command{
		Use: "login [CONTEXT]", Short: "Log in to a context's gateway with a browser", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeContexts,
		Long: `Shows a code and an address of the context's issuer, where you confirm it in a browser on any
device (OAuth 2.0 device login, RFC 8628). The token is stored beside the contexts, readable by
you alone, and refreshed while the issuer allows it. Without CONTEXT it is the current one.`,
		Example: `  gateway context add prod --api https://gateway.example.com --issuer https://login.example.com/realms/ops --client-id gateway-cli
  gateway login prod`,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, tokens, err := loginTarget(args)
			if err != nil {
				return err
			}
			if err := tokens.Login(cmd.Context(), func(p login.Prompt) { c.prompt(t.Context, p) }); err != nil {
				return err
			}
			return c.tryLogin(cmd.Context(), t, tokens)
		},
	}
}

func (c *command) logout() *cobra.Command {
	return &cobra.Command{
		Use: "logout [CONTEXT]", Short: "Forget the token of a context, and revoke it at its issuer", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeContexts,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, tokens, err := loginTarget(args)
			if err != nil {
				return err
			}
			was, revoking, err := tokens.Logout(cmd.Context())
			switch {
			case err != nil:
				return err
			case revoking != nil:
				c.warn("the token is forgotten here, but is not revoked: %s", revoking)
			}
			said := "logged out of " + t.Context
			if !was {
				said = "nobody was logged in to " + t.Context
			}
			_, err = fmt.Fprintln(c.stdout, said)
			return err
		},
	}
}

// loginTarget finds the context to log in to.
func loginTarget(args []string) (target.Target, *login.Tokens, error) {
	all, err := target.Load()
	if err != nil {
		return target.Target{}, nil, err
	}
	name := all.Current
	if len(args) > 0 {
		name = args[0]
	}
	if name == "" {
		return target.Target{}, nil, usage("name a context with an issuer; add one with gateway context add --issuer")
	}
	t, err := target.Resolve(target.Flags{Context: name}, os.Getenv, "")
	switch {
	case errors.Is(err, target.ErrUnknown):
		return target.Target{}, nil, notFound("%s", err)
	case err != nil:
		return target.Target{}, nil, err
	case t.Login == nil:
		return target.Target{}, nil, usage("the context " + name + " has no issuer to log in at; add it again with --issuer and --client-id")
	}
	tokens, err := tokensOf(t)
	return t, tokens, err
}

// tokensOf returns the tokens of a target that has a login.
func tokensOf(t target.Target) (*login.Tokens, error) {
	path, err := target.TokenPath(t.Context)
	if err != nil {
		return nil, err
	}
	return login.New(login.Options{API: t.URL, Login: *t.Login, Path: path, Now: clock.System, Wait: clock.Sleep}), nil
}

func (c *command) prompt(name string, p login.Prompt) {
	out := output.NewWriter(c.stderr)
	_, _ = fmt.Fprintf(out, "To log in to %s, open\n\n  %s\n\nand enter the code\n\n  %s\n\n", name, p.URI, p.Code)
	if p.Complete != "" {
		_, _ = fmt.Fprintf(out, "or open this address, and compare the code:\n\n  %s\n\n", p.Complete)
	}
	_, _ = fmt.Fprintf(out, "Waiting; the code expires in %s.\n", p.For.Round(time.Second))
}

// tryLogin uses the new token once, so that a gateway that does not accept it says so now.
func (c *command) tryLogin(ctx context.Context, t target.Target, tokens *login.Tokens) error {
	gateway, err := client.New(client.Options{URL: t.URL, Token: tokens.Token, UserAgent: "gateway-cli/" + version()})
	if err != nil {
		return usage(t.From + " " + err.Error())
	}
	_, err = gateway.Get(ctx, "/providers", nil, nil)
	var answered *client.Error
	switch {
	case errors.As(err, &answered) && answered.Status == 401:
		return &hinted{err, tokenHint}
	case errors.As(err, &answered) && answered.Status == 403:
		c.warn("the gateway accepts the token, but it has no role there: %s", err)
	case err != nil:
		c.warn("the token could not be tried: %s", err)
	}
	_, err = fmt.Fprintln(c.stdout, "logged in to "+t.Context)
	return err
}

const tokenHint = "the gateway does not accept this issuer's token: its OIDC_ISSUER and OIDC_AUDIENCE must be the token's (see also --audience, --scope and --id-token of gateway context add)"

// loginHint says what to do about an error of a login.
func loginHint(err error, t target.Target) (hint string, known bool) {
	var answered *client.Error
	switch {
	case t.Login == nil:
		return "", false
	case errors.As(err, &answered) && answered.Status == 401:
		return tokenHint, true
	case fault.Is(err, fault.Unauthorized):
		return "run: gateway login " + t.Context, true
	}
	return "", false
}

// loginState describes a context's login for the list; "" without one.
func loginState(name string, one target.Context) (string, error) {
	if one.Login == nil {
		return "", nil
	}
	tokens, err := tokensOf(target.Target{URL: one.API, Login: one.Login, Context: name})
	if err != nil {
		return "", err
	}
	in, err := tokens.LoggedIn()
	if in {
		return "logged in", err
	}
	return "logged out", err
}
