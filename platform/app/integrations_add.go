package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"integration-gateway/modules/integrations"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/strictjson"
)

// AddOptions are the options of `gateway integrations add`.
type AddOptions struct {
	IntegrationOptions
	Provider, Source, Name string
	Secrets                []string
	To                     []string // URLs of destinations
	Options                []string // key=value
	Disabled               bool
}

// config returns the integration that the options describe.
func (o AddOptions) config() (integrations.IntegrationConfig, error) {
	active := !o.Disabled
	c := integrations.IntegrationConfig{Source: o.Source, Provider: o.Provider, Name: o.Name, IsActive: &active}
	for _, s := range o.Secrets {
		c.Secrets = append(c.Secrets, integrations.SecretConfig{Value: secret.New(s)})
	}
	for _, to := range o.To {
		c.Destinations = append(c.Destinations, contract.DestinationConfig{URL: &to})
	}
	options, err := providerOptions(o.Options)
	c.Options = &options
	return c, err
}

// providerOptions parses options of the form key=value; dots in a key address nested
// objects. A value is text if the option is text, or else JSON.
func providerOptions(pairs []string) (provider.Options, error) {
	var read provider.Options
	var wrong []fault.Field
	for _, pair := range pairs {
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return read, fmt.Errorf("--option %s: must be key=value", pair)
		}
		text, _ := json.Marshal(value) // strings always marshal
		mistakes := strictjson.Read(nested(key, text), &read)
		if len(mistakes) > 0 && json.Valid([]byte(value)) {
			mistakes = strictjson.Read(nested(key, []byte(value)), &read)
		}
		for _, m := range mistakes {
			wrong = append(wrong, fault.Field{Field: "options." + m.Field, Message: m.Message})
		}
	}
	if len(wrong) > 0 {
		return read, httpapi.Invalid(wrong)
	}
	return read, nil
}

// nested returns the object that holds value under a key with dots.
func nested(key string, value []byte) []byte {
	parts := strings.Split(key, ".")
	slices.Reverse(parts)
	for _, part := range parts {
		name, _ := json.Marshal(part) // strings always marshal
		value = slices.Concat([]byte("{"), name, []byte(":"), value, []byte("}"))
	}
	return value
}

// AddIntegration creates an integration.
func AddIntegration(ctx context.Context, cfg config.Config, log *slog.Logger, o AddOptions) error {
	c, err := o.config()
	if err != nil {
		return lineByLine(err)
	}
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		var made integrations.CreatedIntegration
		err := g.db.InTx(ctx, func(tx *database.Tx) (err error) {
			made, err = g.integrations.CreateIntegration(ctx, tx, c)
			return err
		})
		if err != nil {
			return err
		}
		shown, err := g.integrations.IntegrationByID(ctx, made.ID)
		if err != nil {
			return err
		}
		if o.JSON {
			return printJSON(o.Out, struct {
				integrations.Integration
				SigningSecrets []contract.NewDestination `json:"signingSecrets"`
			}{shown, made.SigningSecrets})
		}
		_, _ = fmt.Fprintf(o.Out, "added %s; send its webhooks to %s\n", shown.Source, webhookAddress(cfg, shown.Source))
		for i, d := range made.SigningSecrets {
			_, _ = fmt.Fprintf(o.Out, "deliveries to %s are signed with %s, which is shown only once\n", shown.Destinations[i].URL, d.SigningSecret)
		}
		return nil
	})
}
