package cli

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/config"
	"integration-gateway/platform/secret"
)

// sendSecretVariable holds the secret when it should not be on the command line, which
// other users may see.
const sendSecretVariable = "GATEWAY_SEND_SECRET"

func (c *command) send() *cobra.Command {
	var o app.SendOptions
	var key string
	cmd := &cobra.Command{
		Use:   "send PROVIDER",
		Short: "Send correctly signed sample webhooks of a provider",
		Long: `Tests an integration before its provider does: sends samples of the provider's webhooks to
a gateway, signed with the integration's secret, and prints each response. Exits with 0 if
every response is as expected: accepted, recognised as a duplicate with --repeat, or refused
with --bad-signature.`,
		Example: `  gateway send acme
  gateway send stripe --source stripe-eu --secret whsec_… --type customer.created
  gateway send github --to https://hooks.example.com/api/v1/webhooks/github --bad-signature`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if key == "" {
				key = os.Getenv(sendSecretVariable)
			}
			o.Provider, o.Secret, o.Out = args[0], secret.New(key), c.stdout
			cfg, _, err := c.load(config.Options{Role: config.Send})
			if err != nil {
				return err
			}
			err = app.Send(cmd.Context(), cfg, o)
			var usageErr app.UsageError
			if errors.As(err, &usageErr) {
				return usage("send: " + usageErr.Error())
			}
			return err
		},
	}
	cmd.Flags().StringVar(&o.Type, "type", "", "type of the event (default the provider's first sample)")
	cmd.Flags().StringVar(&o.To, "to", "", "URL to send to (default http://127.0.0.1:$APP_PORT/api/v1/webhooks/<source>)")
	cmd.Flags().StringVar(&o.Source, "source", "", "source of the integration (default the provider's name)")
	cmd.Flags().StringVar(&key, "secret", "", "the integration's secret (default $"+sendSecretVariable+", and for acme and globex the demo secret)")
	cmd.Flags().StringVar(&o.PublicURL, "public-url", "", "the webhook's URL as configured at the provider, if the provider signs it (default PUBLIC_BASE_URL and the path, or else the URL in --to)")
	cmd.Flags().IntVar(&o.Count, "count", 1, "how many webhooks to send, each a new event")
	cmd.Flags().BoolVar(&o.BadSignature, "bad-signature", false, "sign with a wrong secret; each must be refused")
	cmd.Flags().BoolVar(&o.Repeat, "repeat", false, "send each twice; the second must be a duplicate")
	return cmd
}
