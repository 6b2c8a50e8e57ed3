package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/config"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
)

// configured loads a configuration file.
func configured(t *testing.T, text string) (config.Config, error) {
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return config.Load(config.Options{Role: config.Dev, Path: path})
}

const initech = `
providers:
  initech:
    title: Initech
    scheme: hmac
    signature: {header: X-Initech-Signature, prefix: "sha256=", over: "{timestamp}.{body}"}
    timestamp: {header: X-Initech-Timestamp, toleranceSeconds: 300}
    event: {id: "header:X-Initech-Delivery", type: "$.type", subject: "$.data.id", time: "$.createdAt"}
    samples:
      - {type: order.made, body: '{"type":"order.made","createdAt":"$NOW","data":{"id":"$ID"}}', header: {X-Initech-Delivery: "$ID"}}
`

func TestProvidersOfTheConfiguration(t *testing.T) {
	cfg, err := configured(t, initech)
	require.NoError(t, err)
	registry, err := Providers(cfg)
	require.NoError(t, err)
	spec, ok := registry.Spec("initech")
	require.True(t, ok)
	require.Equal(t, "Initech", spec.Title)
	require.Equal(t, 300.0, spec.Tolerance.Seconds(), "toleranceSeconds, although viper lowercases keys")
	require.Equal(t, []string{"X-Initech-Signature", "X-Initech-Timestamp"}, spec.Headers())
	_, ok = registry.Spec("github")
	require.True(t, ok)

	sample, err := spec.Sample("")
	require.NoError(t, err)
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	req, err := spec.SampleRequest(sample, secret.New("k"), at, "http://127.0.0.1/x", "one")
	require.NoError(t, err)
	_, err = spec.Authenticate(req, []provider.Secret{{ID: "1", Value: secret.New("k")}})
	require.NoError(t, err)
	events, err := spec.Normalize(req)
	require.NoError(t, err)
	require.Equal(t, []string{"order.made", "one", "one"}, []string{events[0].Type, *events[0].ID, *events[0].Subject})
	require.Equal(t, at, events[0].OccurredAt)
}

func TestMistakesInConfiguredProvidersAreReportedAtStart(t *testing.T) {
	for _, c := range []struct{ text, says string }{
		{"providers: 7\n", "providers: it is not a section"},
		{"providers: {initech: hmac}\n", "providers.initech: it is not a section"},
		{"providers: {initech: {scheme: hmac, event: {type: $.type}}}\n", "providers.initech.signature.header: It is required"},
		{"providers: {initech: {scheme: basic, event: {type: $.type, idd: x}}}\n", "providers.initech.event.idd: is not a field; did you mean id?"},
		{"providers: {initech: {scheme: basic, event: {type: 7}}}\n", "providers.initech.event.type: must be text, a list of places or an object"},
		{"providers: {initech: {scheme: basic, event: {type: $.type}, samples: [{type: a}]}}\n", "providers.initech.samples[0]: A sample needs a type and a body"},
		{"providers: {github: {scheme: basic, event: {type: $.type}}}\n", `providers.github: two providers are named "github"`},
		{"providers: {in!tech: {scheme: basic, event: {type: $.type}}}\n", "providers.in!tech: A provider's name consists of"},
	} {
		cfg, err := configured(t, c.text)
		if err == nil {
			_, err = Providers(cfg)
		}
		var mistakes config.Mistakes
		require.ErrorAs(t, err, &mistakes, c.text)
		require.ErrorContains(t, err, c.says)
	}
	cfg, err := configured(t, "providers: {b: {scheme: x}, a: {scheme: y}}\n")
	require.NoError(t, err)
	_, err = Providers(cfg)
	require.ErrorContains(t, err, "providers.a.scheme")
	require.ErrorContains(t, err, "providers.b.scheme")
}

func TestTheExampleProvidersAreValid(t *testing.T) {
	file, err := os.ReadFile(listedFile(t))
	require.NoError(t, err)
	_, example, found := strings.Cut(string(file), "# providers:\n")
	require.True(t, found)
	cfg, err := configured(t, "providers:\n"+strings.ReplaceAll(strings.TrimPrefix(example, "# "), "\n# ", "\n"))
	require.NoError(t, err)
	registry, err := Providers(cfg)
	require.NoError(t, err)
	spec, ok := registry.Spec("initech")
	require.True(t, ok)
	require.Len(t, spec.Samples, 1)

	document, err := os.ReadFile(filepath.Join("..", "..", "docs", "provider-definitions.md"))
	require.NoError(t, err)
	block := func(kind string) string {
		_, text, found := strings.Cut(string(document), "```"+kind+"\n")
		require.True(t, found)
		text, _, _ = strings.Cut(text, "```")
		return text
	}
	described, err := provider.FromFile([]byte(block("yaml")))
	require.NoError(t, err)
	require.Equal(t, "initech", described.Name)
	text := block("json")
	var options provider.Options
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&options))
	_, err = registry.Configure("generic", options)
	require.NoError(t, err)
}
