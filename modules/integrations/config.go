package integrations

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/strictjson"
)

// IntegrationConfig describes an integration in the API and in files. For a new integration,
// nil and "" mean the default. For an existing one they mean no change (see Plan).
type IntegrationConfig struct {
	Source       string                       `json:"source" api:"required"`
	Provider     string                       `json:"provider" api:"required"`
	Name         string                       `json:"name"` // by default the provider's title
	Secrets      []SecretConfig               `json:"secrets" api:"required"`
	Destinations []contract.DestinationConfig `json:"destinations"`
	Options      *provider.Options            `json:"options"`
	Redact       []string                     `json:"redact"`   // JSON paths; by default none
	IsActive     *bool                        `json:"isActive"` // by default true
	Limits
}

// Limits are an integration's own limits; null means the configured default.
type Limits struct {
	RateLimitPerMinute strictjson.Nullable[int]   `json:"rateLimitPerMinute"`
	MaxBodyBytes       strictjson.Nullable[int64] `json:"maxBodyBytes"`
}

// IntegrationChange is a change of an integration; absent fields stay unchanged.
type IntegrationChange struct {
	Name     *string           `json:"name"`
	Options  *provider.Options `json:"options"` // as a whole
	Redact   []string          `json:"redact"`  // as a whole
	IsActive *bool             `json:"isActive"`
	Limits
}

// change returns c as a change of an existing integration, without secrets and destinations.
func (c IntegrationConfig) change() IntegrationChange {
	change := IntegrationChange{Options: c.Options, Redact: c.Redact, IsActive: c.IsActive, Limits: c.Limits}
	if c.Name != "" {
		change.Name = &c.Name
	}
	return change
}

// options returns c's options, or the defaults.
func (c IntegrationConfig) options() provider.Options {
	if c.Options == nil {
		return provider.Options{}
	}
	return *c.Options
}

const (
	maxName      = 120 // characters
	maxRateLimit = 100_000_000
)

// violations collects the errors in an input, by path.
type violations []fault.Field

func (m *violations) add(field, format string, args ...any) {
	*m = append(*m, fault.Field{Field: field, Message: fmt.Sprintf(format, args...)})
}

// below adds the violations in err under path. It returns any other error.
func (m *violations) below(path string, err error) error {
	f := fault.As(err)
	switch {
	case err == nil:
		return nil
	case f == nil || f.Kind != fault.Invalid:
		return err
	case len(f.Fields) == 0:
		m.add(path, "%s", f.Message)
	}
	for _, field := range f.Fields {
		m.add(strictjson.Join(path, field.Field), "%s", field.Message)
	}
	return nil
}

// checkIntegration validates a new integration and returns all violations in the order of its
// fields.
func (m *Module) checkIntegration(c IntegrationConfig) (violations, error) {
	wrong, err := m.checkWhole(c)
	if c.Secrets == nil && !m.storesSecrets(c) {
		wrong.add("secrets", "must hold at least one secret, or no webhook can be verified")
	}
	return wrong, err
}

// storesSecrets reports whether the provider's handshake brings the secret, so that there need be none before.
func (m *Module) storesSecrets(c IntegrationConfig) bool {
	spec, err := m.d.Providers.Configure(c.Provider, c.options())
	return err == nil && spec.StoresSecrets
}

// checkWhole is checkIntegration with optional secrets.
func (m *Module) checkWhole(c IntegrationConfig) (violations, error) {
	var wrong violations
	checkSource(c.Source, &wrong)
	spec, err := m.checkOptions(c.Provider, c.options(), &wrong)
	if err != nil {
		return nil, err
	}
	if c.Name != "" {
		checkName(c.Name, &wrong)
	}
	if c.Secrets != nil && noneProves(c.Secrets) && (spec == nil || !spec.StoresSecrets) {
		wrong.add("secrets", "must hold at least one secret that proves webhooks, or no webhook can be verified")
	}
	for i, s := range c.Secrets {
		path := fmt.Sprintf("secrets[%d]", i)
		m.checkSecret(spec, path, s, &wrong)
		for j := range i {
			if !s.Value.Empty() && s.purposed(spec).is(c.Secrets[j].purposed(spec).Purpose, c.Secrets[j].Value) {
				wrong.add(path+".value", "is the same as secrets[%d]", j)
			}
		}
	}
	for i, d := range c.Destinations {
		if err := wrong.below(fmt.Sprintf("destinations[%d]", i), m.d.Destinations.CheckDestination(d)); err != nil {
			return nil, err
		}
	}
	checkRedact(spec, c.Redact, &wrong)
	for i, d := range c.Destinations {
		checkRawMode(fmt.Sprintf("destinations[%d].", i), len(c.Redact) > 0, d, &wrong)
	}
	m.checkLimits(c.Limits, &wrong)
	return wrong, nil
}

// checkChange is checkIntegration for a change of an integration of that provider.
func (m *Module) checkChange(providerName string, c IntegrationChange) (violations, error) {
	var wrong violations
	if c.Name != nil {
		checkName(*c.Name, &wrong)
	}
	if c.Options != nil {
		if _, err := m.checkOptions(providerName, *c.Options, &wrong); err != nil {
			return nil, err
		}
	}
	m.checkLimits(c.Limits, &wrong)
	return wrong, nil
}

func checkSource(source string, wrong *violations) {
	switch {
	case source == "":
		wrong.add("source", "is required: it is part of the webhook URL, /webhooks/<source>")
	case !provider.ValidSourceName(source):
		wrong.add("source", "must begin with a lower-case letter or digit, and have at most %d of these, - and _", provider.MaxSourceName)
	}
}

// checkOptions returns the provider under these options, or nil if they are invalid.
func (m *Module) checkOptions(providerName string, o provider.Options, wrong *violations) (*provider.Spec, error) {
	if _, known := m.d.Providers.Spec(providerName); !known {
		verb := "must be one of"
		if providerName == "" {
			verb = "is required: one of"
		}
		wrong.add("provider", "%s %s", verb, strings.Join(m.d.Providers.Names(), ", "))
		return nil, nil
	}
	spec, err := m.d.Providers.Configure(providerName, o)
	if err != nil {
		return nil, wrong.below("", err)
	}
	if m.lacksURL(spec) {
		wrong.add("options.publicUrl", "is required, because %s signs the URL: write it exactly as entered there, or set PUBLIC_BASE_URL", spec.Title)
	}
	return &spec, nil
}

func checkName(name string, wrong *violations) {
	if n := utf8.RuneCountInString(name); n < 1 || n > maxName || !httpapi.Printable(name) {
		wrong.add("name", "must be 1 to %d visible characters on one line", maxName)
	}
}

func (m *Module) checkLimits(l Limits, wrong *violations) {
	rate, body := l.RateLimitPerMinute.Value, l.MaxBodyBytes.Value
	if rate != nil && (*rate < 0 || *rate > maxRateLimit) {
		wrong.add("rateLimitPerMinute", "must be a whole number from 0 (no limit) to %d; omit it for the configured limit", maxRateLimit)
	}
	if body != nil && (*body < 1 || *body > m.cfg.MaxSourceBodyBytes) {
		wrong.add("maxBodyBytes", "must be a whole number from 1 to %d; omit it for the configured limit", m.cfg.MaxSourceBodyBytes)
	}
}
