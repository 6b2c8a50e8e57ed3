package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"integration-gateway/platform/config"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider"
)

// providers returns the built-in providers and those in the configuration. Its error is
// config.Mistakes, by provider and field.
func providers(cfg config.Config) (provider.Registry, error) {
	registry := provider.Builtin()
	var mistakes config.Mistakes
	for _, p := range cfg.Providers {
		spec, err := defined(p)
		if err == nil {
			var more provider.Registry
			if more, err = registry.With(spec); err == nil {
				registry = more
				continue
			}
		}
		mistakes = append(mistakes, mistakeIn(p.Name, err))
	}
	if len(mistakes) > 0 {
		return provider.Registry{}, mistakes
	}
	return registry, nil
}

// CheckProviders finds mistakes in the configured providers, before anything is opened.
func CheckProviders(cfg config.Config) error {
	_, err := providers(cfg)
	return err
}

func defined(p config.Provider) (provider.Spec, error) {
	named := provider.Named{Name: p.Name}
	decoder := json.NewDecoder(bytes.NewReader(p.Definition))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&named); err != nil {
		return provider.Spec{}, err
	}
	return named.Spec()
}

// mistakeIn says what is wrong with a provider's definition, and where.
func mistakeIn(name string, err error) config.Mistake {
	m := config.Mistake{Name: "providers." + name, Problem: "its definition is wrong", Fix: "docs/providers.md describes each field"}
	var kind *json.UnmarshalTypeError
	f := fault.As(err)
	_, field, unknown := strings.Cut(err.Error(), "unknown field ")
	switch {
	case f != nil && len(f.Fields) > 0:
		m.Name, m.Problem = f.Fields[0].Field, strings.TrimSuffix(f.Message, ".")
	case errors.As(err, &kind):
		m.Name += "." + strings.TrimPrefix(kind.Field, "Definition.")
		m.Problem = "it must not be a " + kind.Value
	case unknown:
		m.Problem = "unknown field " + strings.Trim(field, `"`) + ""
	default:
		m.Problem = err.Error()
	}
	return m
}
