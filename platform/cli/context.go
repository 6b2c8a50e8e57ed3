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
	add := &cobra.Command{
		Use: "add NAME --api URL --key-file FILE", Short: "Add or replace a context", Args: cobra.ExactArgs(1),
		Example: `  gateway context add prod --api https://gateway.example.com --key-file ~/.config/gateway/prod.key`,
	}
	add.Flags().StringVar(&api, "api", "", "address of the gateway")
	add.Flags().StringVar(&keyFile, "key-file", "", "file with the management key, which stays where it is (default $"+target.VariableKey+" at each use)")
	add.RunE = func(_ *cobra.Command, args []string) error {
		if _, err := client.New(client.Options{URL: api}); err != nil {
			return usage("context add: --api " + err.Error())
		}
		return c.changeContexts(func(all *target.Contexts) (string, error) {
			err := all.Add(args[0], target.Context{API: api, KeyFile: keyFile})
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
			return c.changeContexts(func(all *target.Contexts) (string, error) { return "removed " + args[0], all.Remove(args[0]) })
		}}
	list := &cobra.Command{Use: "list", Short: "List the contexts", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error { return c.listContexts() }}
	cmd := group("context", "Name the gateways that you work with", `A context is the address of a gateway and the file with its key, by a name. They are kept in
the user's folder for configuration, in gateway/contexts.yaml.`, add, use, list, remove)
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
		item, err := json.Marshal(map[string]any{"name": name, "current": name == all.Current, "api": all.Contexts[name].API, "keyFile": all.Contexts[name].KeyFile})
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
		{Title: "API", Path: "api"}, {Title: "KEY FILE", Path: "keyFile"},
	})
	if err := list.Add(items); err != nil {
		return err
	}
	if len(items) == 0 {
		return errors.Join(list.End(), out.Say("There are no contexts. See: gateway context add --help"))
	}
	return list.End()
}
