package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/cli/output"
)

// secretFlags are the flags for secrets.
type secretFlags struct{ values, files, variables []string }

func addSecretFlags(cmd *cobra.Command) *secretFlags {
	f := &secretFlags{}
	cmd.Flags().StringArrayVar(&f.values, "secret", nil, "a secret that verifies webhooks")
	cmd.Flags().StringArrayVar(&f.files, "secret-file", nil, "a file with a secret")
	cmd.Flags().StringArrayVar(&f.variables, "secret-env", nil, "an environment variable with a secret")
	return f
}

func (f *secretFlags) read(command string) ([]string, error) {
	secrets, err := app.Secrets(f.values, f.files, f.variables)
	if err != nil {
		return nil, usage("integrations " + command + ": " + err.Error())
	}
	return secrets, nil
}

func (c *command) rotateSecret() *cobra.Command {
	var note, purpose string
	var expireOld time.Duration
	cmd := &cobra.Command{
		Use:   "rotate-secret SOURCE",
		Short: "Add a secret and let the others expire",
		Long: `Adds a secret. The existing secrets of its purpose stay valid beside it for --expire-old, or
until they are removed.`,
		Example: `  gateway integrations rotate-secret acme-eu --secret-env NEXT_SECRET --expire-old 24h`,
		Args:    cobra.ExactArgs(1),
	}
	secrets := addSecretFlags(cmd)
	cmd.Flags().StringVar(&note, "note", "", "a note to recognise the secret by")
	cmd.Flags().StringVar(&purpose, "purpose", "", "what it is for: signing, token or challenge (default what proves the provider's webhooks)")
	cmd.Flags().DurationVar(&expireOld, "expire-old", 0, "how long the existing secrets stay valid (default unchanged)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		given, err := secrets.read("rotate-secret")
		switch {
		case err != nil:
			return err
		case len(given) != 1:
			return usage("integrations rotate-secret: give exactly one new secret")
		case expireOld < 0:
			return usage("integrations rotate-secret: --expire-old must be at least 0s")
		}
		body := map[string]any{"value": given[0]}
		if note != "" {
			body["note"] = note
		}
		if purpose != "" {
			body["purpose"] = purpose
		}
		ends := "until you remove it; `gateway integrations show` shows whether it is still used"
		if cmd.Flags().Changed("expire-old") {
			ends, body["expireOldSeconds"] = fmt.Sprintf("for at most %s", expireOld), int64(expireOld/time.Second)
		}
		return c.onAPI(func(ctx context.Context, s *session, args []string) error {
			return s.rotateSecret(ctx, args[0], body, ends)
		})(cmd, args)
	}
	return cmd
}

func (s *session) rotateSecret(ctx context.Context, name string, body map[string]any, ends string) error {
	i, _, err := s.integration(ctx, name)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := s.Post(ctx, "/integrations/"+i.ID+"/rotate-secret", body, &raw); err != nil {
		return err
	}
	var rotated struct {
		ID      string
		Old     []string
		Warning string
	}
	if err := json.Unmarshal(raw, &rotated); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if err := s.done(raw, rotated.ID, "added secret %s to %s", rotated.ID, i.Source); err != nil {
		return err
	}
	if rotated.Warning != "" {
		s.c.warn("secret %s: %s", rotated.ID, rotated.Warning)
	}
	for _, old := range rotated.Old {
		if err := s.out.Say("secret %s stays valid %s", old, ends); err != nil {
			return err
		}
	}
	return nil
}

func (c *command) confirmSecret() *cobra.Command {
	var reveal bool
	cmd := &cobra.Command{
		Use:   "confirm-secret SOURCE [ID]",
		Short: "Confirm a secret that a provider's handshake brought",
		Long: `Activates a pending secret, which verifies nothing before. Anybody can send a handshake: compare
the value with the provider's first. --reveal shows it and confirms nothing.`,
		Example: `  gateway integrations confirm-secret asana --reveal
  gateway integrations confirm-secret asana`,
		Args: cobra.RangeArgs(1, 2),
	}
	cmd.Flags().BoolVar(&reveal, "reveal", false, "show the value, to compare it or to enter it at the provider, and confirm nothing")
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		i, _, err := s.integration(ctx, args[0])
		if err != nil {
			return err
		}
		var pending []string
		for _, one := range i.Secrets {
			if one.PendingSince != nil && (len(args) == 1 || one.ID == args[1]) {
				pending = append(pending, one.ID)
			}
		}
		switch {
		case len(pending) == 0:
			return notFound("%s has no such pending secret.", i.Source)
		case len(pending) > 1:
			return usage(fmt.Sprintf("%d secrets of %s are pending; choose one by its id: %s", len(pending), i.Source, strings.Join(pending, ", ")))
		}
		var raw json.RawMessage
		path := "/integrations/" + i.ID + "/secrets/" + pending[0]
		if !reveal {
			if err := s.Patch(ctx, path, map[string]any{"isActive": true}, &raw); err != nil {
				return err
			}
			return s.done(raw, pending[0], "confirmed secret %s of %s; release what came before it with `gateway quarantine release --source %s`", pending[0], i.Source, i.Source)
		}
		if err := s.Post(ctx, path+"/reveal", nil, &raw); err != nil {
			return err
		}
		shown, err := output.Parse(raw)
		if err != nil {
			return err
		}
		value := output.TextAt(shown, "value")
		return s.out.One(raw, value, func() error { return s.out.Say("the pending secret %s is %s", pending[0], value) })
	})
	return cmd
}

func (c *command) rotateSigningSecret() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate-signing-secret SOURCE",
		Short: "Give a destination a new signing secret and show it once",
		Args:  cobra.ExactArgs(1),
	}
	to := cmd.Flags().String("to", "", "the destination's URL or id, if the source has several")
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		i, _, err := s.integration(ctx, args[0])
		if err != nil {
			return err
		}
		var found []destination
		for _, d := range i.Destinations {
			if *to == "" || d.URL == *to || d.ID == *to {
				found = append(found, d)
			}
		}
		if len(found) != 1 {
			return usage(fmt.Sprintf("%d destinations of %s match; choose one with --to", len(found), i.Source))
		}
		var raw json.RawMessage
		if err := s.Post(ctx, "/integrations/"+i.ID+"/destinations/"+found[0].ID+"/rotate-secret", map[string]any{}, &raw); err != nil {
			return err
		}
		made, err := output.Parse(raw)
		if err != nil {
			return err
		}
		signing := output.TextAt(made, "signingSecret")
		return s.out.One(raw, signing, func() error {
			return s.out.Say("deliveries are signed with %s, which is shown only once; for a day they are also signed with the old one", signing)
		})
	})
	return cmd
}
