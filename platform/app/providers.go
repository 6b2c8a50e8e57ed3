package app

import (
	"strings"

	"integration-gateway/platform/config"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider"
)

// Providers returns the built-in providers and those in the configuration. Its error is
// config.Mistakes, by provider and field.
func Providers(cfg config.Config) (provider.Registry, error) {
	registry := provider.Builtin()
	var mistakes config.Mistakes
	for _, p := range cfg.Providers {
		spec, err := provider.Configured(p.Name, p.Definition)
		if err == nil {
			var more provider.Registry
			if more, err = registry.With(spec); err == nil {
				registry = more
				continue
			}
		}
		mistakes = append(mistakes, mistakesIn(p.Name, err)...)
	}
	if len(mistakes) > 0 {
		return provider.Registry{}, mistakes
	}
	return registry, nil
}

// CheckProviders finds mistakes in the configured providers, before anything is opened.
func CheckProviders(cfg config.Config) error {
	_, err := Providers(cfg)
	return err
}

// mistakesIn says what is wrong with a provider's definition, and where.
func mistakesIn(name string, err error) []config.Mistake {
	f := fault.As(err)
	if f == nil || len(f.Fields) == 0 {
		return []config.Mistake{{Name: "providers." + name, Problem: err.Error(), Fix: fixProvider}}
	}
	mistakes := make([]config.Mistake, len(f.Fields))
	for i, field := range f.Fields {
		mistakes[i] = config.Mistake{Name: field.Field, Problem: strings.TrimSuffix(field.Message, "."), Fix: fixProvider}
	}
	return mistakes
}

const fixProvider = "docs/provider-definitions.md describes each field"
