package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"integration-gateway/modules/ingestion"
	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/strictjson"
)

// AddOptions are what `gateway integrations add` is told.
type AddOptions struct {
	IntegrationOptions
	Provider, Source, Name string
	Secrets                []string
	To                     []string // URLs of destinations
	Options                []string // key=value
	Disabled               bool
}

// config is the integration that the options describe.
func (o AddOptions) config() (ingestion.IntegrationConfig, error) {
	active := !o.Disabled
	c := ingestion.IntegrationConfig{Source: o.Source, Provider: o.Provider, Name: o.Name, IsActive: &active}
	for _, s := range o.Secrets {
		c.Secrets = append(c.Secrets, ingestion.SecretConfig{Value: secret.New(s)})
	}
	for _, to := range o.To {
		c.Destinations = append(c.Destinations, contract.DestinationConfig{URL: &to})
	}
	options, err := providerOptions(o.Options)
	c.Options = &options
	return c, err
}

// providerOptions reads options from texts key=value; a dot in a key leads below it. A
// value is text where the option is one, else JSON.
func providerOptions(pairs []string) (provider.Options, error) {
	var read provider.Options
	var wrong []fault.Field
	for _, pair := range pairs {
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return read, fmt.Errorf("--option %s: write it as key=value", pair)
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

// nested is the object that holds value at a key with dots.
func nested(key string, value []byte) []byte {
	parts := strings.Split(key, ".")
	slices.Reverse(parts)
	for _, part := range parts {
		name, _ := json.Marshal(part) // strings always marshal
		value = slices.Concat([]byte("{"), name, []byte(":"), value, []byte("}"))
	}
	return value
}

// AddIntegration sets up an integration.
func AddIntegration(ctx context.Context, cfg config.Config, log *slog.Logger, o AddOptions) error {
	c, err := o.config()
	if err != nil {
		return lineByLine(err)
	}
	return onIntegrations(ctx, cfg, log, func(ctx context.Context, g *system) error {
		var made ingestion.CreatedIntegration
		err := g.db.InTx(ctx, func(tx *database.Tx) (err error) {
			made, err = g.ingestion.CreateIntegration(ctx, tx, c)
			return err
		})
		if err != nil {
			return err
		}
		shown, err := g.ingestion.IntegrationByID(ctx, made.ID)
		if err != nil {
			return err
		}
		if o.JSON {
			return printJSON(o.Out, struct {
				ingestion.Integration
				SigningSecrets []contract.NewDestination `json:"signingSecrets"`
			}{shown, made.SigningSecrets})
		}
		_, _ = fmt.Fprintf(o.Out, "added %s; its webhooks go to %s\n", shown.Source, webhookAddress(cfg, shown.Source))
		for i, d := range made.SigningSecrets {
			_, _ = fmt.Fprintf(o.Out, "deliveries to %s are signed with %s, which is shown this once\n", shown.Destinations[i].URL, d.SigningSecret)
		}
		return nil
	})
}
