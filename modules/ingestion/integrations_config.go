package ingestion

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/strictjson"
)

// IntegrationConfig is a source as the API and files describe it. In a new one, nil and ""
// stand for the default; one that exists is left as it is there (see Plan).
type IntegrationConfig struct {
	Source       string                       `json:"source"`
	Provider     string                       `json:"provider"`
	Name         string                       `json:"name"` // by default the provider's title
	Secrets      []SecretConfig               `json:"secrets"`
	Destinations []contract.DestinationConfig `json:"destinations"`
	Options      *provider.Options            `json:"options"`
	Redact       []string                     `json:"redact"`   // JSON paths; by default none
	IsActive     *bool                        `json:"isActive"` // by default true
	Limits
}

// Limits are an integration's own; null takes the configured one.
type Limits struct {
	RateLimitPerMinute strictjson.Nullable[int]   `json:"rateLimitPerMinute"`
	MaxBodyBytes       strictjson.Nullable[int64] `json:"maxBodyBytes"`
}

// IntegrationChange is what can be changed about an integration; what is not given stays
// as it is.
type IntegrationChange struct {
	Name     *string           `json:"name"`
	Options  *provider.Options `json:"options"` // as a whole
	Redact   []string          `json:"redact"`  // as a whole
	IsActive *bool             `json:"isActive"`
	Limits
}

// change is what c says of an integration that exists, secrets and destinations aside.
func (c IntegrationConfig) change() IntegrationChange {
	change := IntegrationChange{Options: c.Options, Redact: c.Redact, IsActive: c.IsActive, Limits: c.Limits}
	if c.Name != "" {
		change.Name = &c.Name
	}
	return change
}

// options are c's, or a provider's defaults.
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

// mistakes collects what is wrong with an input, by path.
type mistakes []fault.Field

func (m *mistakes) add(field, format string, args ...any) {
	*m = append(*m, fault.Field{Field: field, Message: fmt.Sprintf(format, args...)})
}

// below takes over the mistakes that err names, below path. What is no mistake of the
// caller's is given back.
func (m *mistakes) below(path string, err error) error {
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

// checkIntegration finds all that is wrong with a new integration, in the order of its
// fields.
func (m *Module) checkIntegration(c IntegrationConfig) (mistakes, error) {
	wrong, err := m.checkWhole(c)
	if c.Secrets == nil {
		wrong.add("secrets", "must hold at least one secret, or nothing could be verified")
	}
	return wrong, err
}

// checkWhole is checkIntegration where secrets need not be given.
func (m *Module) checkWhole(c IntegrationConfig) (mistakes, error) {
	var wrong mistakes
	checkSource(c.Source, &wrong)
	spec, err := m.checkOptions(c.Provider, c.options(), &wrong)
	if err != nil {
		return nil, err
	}
	if c.Name != "" {
		checkName(c.Name, &wrong)
	}
	if c.Secrets != nil && len(c.Secrets) == 0 {
		wrong.add("secrets", "must hold at least one secret, or nothing could be verified")
	}
	for i, s := range c.Secrets {
		path := fmt.Sprintf("secrets[%d]", i)
		m.checkSecret(spec, path, s, &wrong)
		for j := range i {
			if !s.Value.Empty() && c.Secrets[j].Value.Equal(s.Value.Reveal()) {
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
func (m *Module) checkChange(providerName string, c IntegrationChange) (mistakes, error) {
	var wrong mistakes
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

func checkSource(source string, wrong *mistakes) {
	switch {
	case source == "":
		wrong.add("source", "is required: it names the webhooks' address, /webhooks/<source>")
	case !validSource(source):
		wrong.add("source", "must begin with a lower-case letter or digit, and have at most %d of these, - and _", maxSourceName)
	}
}

// checkOptions finds out whether the provider exists and can be used so; nil when not.
func (m *Module) checkOptions(providerName string, o provider.Options, wrong *mistakes) (*provider.Spec, error) {
	if _, known := m.d.Providers.Spec(providerName); !known {
		verb := "is none of"
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
	return &spec, nil
}

func checkName(name string, wrong *mistakes) {
	if n := utf8.RuneCountInString(name); n < 1 || n > maxName || !printable(name) {
		wrong.add("name", "must be text of 1 to %d characters on one line", maxName)
	}
}

// printable reports whether text is one line that can be shown anywhere.
func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

func (m *Module) checkLimits(l Limits, wrong *mistakes) {
	rate, body := l.RateLimitPerMinute.Value, l.MaxBodyBytes.Value
	if rate != nil && (*rate < 0 || *rate > maxRateLimit) {
		wrong.add("rateLimitPerMinute", "must be a whole number from 0, which is no limit, to %d; leave it out for the configured limit", maxRateLimit)
	}
	if body != nil && (*body < 1 || *body > m.cfg.MaxSourceBodyBytes) {
		wrong.add("maxBodyBytes", "must be a whole number from 1 to %d; leave it out for the configured limit", m.cfg.MaxSourceBodyBytes)
	}
}
