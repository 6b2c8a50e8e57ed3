package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
)

// FuzzIntegrationsFile: a file of integrations is read, or its mistakes are reported; a
// plain secret in it is never accepted.
func FuzzIntegrationsFile(f *testing.F) {
	f.Setenv("CORPUS_SECRET", "a-secret-of-the-environment")
	for _, text := range []string{
		"integrations:\n  - source: orders\n    provider: acme\n    secrets: [env:CORPUS_SECRET]\n    destinations:\n      - url: https://orders.example.com\n        filter: \"true\"\n",
		"integrations:\n  - source: orders\n    secrets:\n      - value: env:CORPUS_SECRET\n        note: n\n    destinations:\n      - auth: {type: bearer, token: env:CORPUS_SECRET}\n        headers: {X-A: b}\n",
		"integrations: []\n", "integrations: {}\n", "integrations:\n  - 1\n", "integrations:\n  - secrets: [plain]\n", "integrations:\n  - secrets: [env:NOBODY, file:/nowhere, file:.]\n",
		"integrations: [{destinations: [1, {auth: 1, headers: [1]}]}]\n", "a: &a [*a]\n", "1: 2\n", "integrations: [{? [a] : b}]\n", "integrations: [{source: .nan}]\n", "integrations: [{rateLimitPerMinute: 1e400}]\n",
		"x: &x [1,1]\ny: &y [*x,*x,*x]\nintegrations: [*y]\n", "integrations: [{name: !!binary aGk=, source: !!timestamp 2026-01-01}]\n",
	} {
		f.Add(text)
	}
	path := filepath.Join(f.TempDir(), "integrations.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		list, err := ReadIntegrations(path)
		if err != nil {
			if e := fault.As(err); e != nil {
				require.Equal(t, fault.Invalid, e.Kind)
				require.NotEmpty(t, e.Fields)
			}
			return
		}
		require.NotEmpty(t, list)
		for _, one := range list {
			fields, _ := one.(map[string]any)
			secrets, _ := fields["secrets"].([]any)
			for _, s := range secrets {
				if object, is := s.(map[string]any); is {
					s = object["value"]
				}
				if text, is := s.(string); is {
					require.Contains(t, []string{"", "a-secret-of-the-environment"}, text, "only referenced values")
				}
			}
		}
	})
}
