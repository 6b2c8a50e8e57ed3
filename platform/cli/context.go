package cli

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/cli/target"
	"integration-gateway/platform/client"
)

func (c *command) context() *cobra.Command {
	var api, keyFile string
	var at target.Login
	add := &cobra.Command{
		Use: "add NAME --api URL", Short: "Add or replace a context", Args: cobra.ExactArgs(1),
		Long: `A context has a file with a management key, or an OpenID Connect issuer where you log in
(gateway login), or neither: then $` + target.VariableKey + ` is its key.`,
		Example: `  gateway context add prod --api https://gateway.example.com --key-file ~/.config/gateway/prod.key
  gateway context add prod --api https://gateway.example.com --issuer https://login.example.com/realms/ops --client-id gateway-cli`,
	}
	add.Flags().StringVar(&api, "api", "", "address of the gateway")
	add.Flags().StringVar(&keyFile, "key-file", "", "file with the management key, which stays where it is (default $"+target.VariableKey+" at each use)")
	add.Flags().StringVar(&at.Issuer, "issuer", "", "OpenID Connect issuer whose tokens the gateway accepts (its OIDC_ISSUER)")
	add.Flags().StringVar(&at.ClientID, "client-id", "", "public client of the issuer, with the device login allowed")
	add.Flags().StringSliceVar(&at.Scopes, "scope", nil, "scopes to ask for (default openid,offline_access)")
	add.Flags().StringVar(&at.Audience, "audience", "", "audience to ask for, where the issuer wants it named (the gateway's OIDC_AUDIENCE)")
	add.Flags().BoolVar(&at.IDToken, "id-token", false, "show the gateway the ID token, where the issuer's access tokens are not JWTs")
	add.RunE = func(_ *cobra.Command, args []string) error {
		if _, err := client.New(client.Options{URL: api}); err != nil {
			return usage("context add: --api " + err.Error())
		}
		return c.changeContexts(func(all *target.Contexts) (string, error) {
			one := target.Context{API: api, KeyFile: keyFile}
			if at.Issuer != "" || at.ClientID != "" || at.Audience != "" || at.IDToken || len(at.Scopes) > 0 {
				one.Login = &at
			}
			err := all.Add(args[0], one)
			if err != nil {
				return "", usage("context add: " + err.Error())
			}
			return fmt.Sprintf("added %s; the current context is %s", args[0], all.Current), nil
		})
	}
	use := &cobra.Command{Use: "use NAME", Short: "Make a context the current one", Args: cobra.ExactArgs(1), ValidArgsFunction: completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			return c.changeContexts(func(all *target.Contexts) (string, error) {
				return "the current context is " + args[0], all.Use(args[0])
			})
		}}
	remove := &cobra.Command{Use: "remove NAME", Short: "Remove a context; its key file stays", Args: cobra.ExactArgs(1), ValidArgsFunction: completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			return c.changeContexts(func(all *target.Contexts) (string, error) {
				if one, known := all.Contexts[args[0]]; known && one.Login != nil {
					if state, err := loginState(args[0], one); err != nil || state == "logged in" {
						return "", errors.Join(err, &failure{exitRefused, "you are logged in to " + args[0] + "; run gateway logout " + args[0] + " first"})
					}
				}
				return "removed " + args[0], all.Remove(args[0])
			})
		}}
	list := &cobra.Command{Use: "list", Short: "List the contexts", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return c.listContexts() }}
	cmd := group("context", "Name the gateways that you work with", `A context is the address of a gateway by a name, and the file with its key or the issuer where
you log in. They are kept in the user's folder for configuration, in gateway/contexts.yaml.`, add, use, list, remove)
	list.Flags().StringVarP(&c.api.format, "output", "o", string(output.Table), "table, wide, json, jsonl, yaml or csv")
	list.Flags().BoolVar(&c.api.json, "json", false, "the same as -o json")
	list.Flags().BoolVarP(&c.api.quiet, "quiet", "q", false, "print names only")
	return cmd
}

func completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	all, _ := target.Load() // without contexts there is nothing to complete
	return all.Names(), cobra.ShellCompDirectiveNoFileComp
}

func (c *command) changeContexts(do func(*target.Contexts) (string, error)) error {
	all, err := target.Load()
	if err != nil {
		return err
	}
	said, err := do(&all)
	switch {
	case errors.Is(err, target.ErrUnknown):
		return notFound("%s", err)
	case err != nil:
		return err
	}
	if err := all.Save(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.stdout, said)
	return err
}

func (c *command) listContexts() error {
	all, err := target.Load()
	if err != nil {
		return err
	}
	out, err := c.printer()
	if err != nil {
		return err
	}
	var items []json.RawMessage
	for _, name := range all.Names() {
		one := all.Contexts[name]
		state, err := loginState(name, one)
		if err != nil {
			return err
		}
		item, err := json.Marshal(map[string]any{"name": name, "current": name == all.Current, "api": one.API, "keyFile": one.KeyFile,
			"login": one.Login, "loginState": state})
		if err != nil {
			return fmt.Errorf("print the contexts: %w", err)
		}
		items = append(items, item)
	}
	list := out.List([]output.Column{
		{Title: "NAME", Path: "name", Kind: output.ID},
		{Title: "CURRENT", Path: "current", Apply: func(text string) string {
			if text == "true" {
				return "*"
			}
			return ""
		}},
		{Title: "API", Path: "api"}, {Title: "KEY FILE", Path: "keyFile"}, {Title: "LOGIN", Path: "loginState"},
		{Title: "ISSUER", Path: "login.issuer", Wide: true},
	})
	if err := list.Add(items); err != nil {
		return err
	}
	if len(items) == 0 {
		return errors.Join(list.End(), out.Say("There are no contexts. See: gateway context add --help"))
	}
	return list.End()
}
