package providers_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cli/providers"
	"integration-gateway/platform/provider"
)

// run runs a command and returns what it prints.
func run(args ...string) (string, error) {
	var out bytes.Buffer
	root := &cobra.Command{Use: "providers", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(providers.Commands(providers.Deps{
		Out: &out, Known: func() (provider.Registry, error) { return provider.Builtin(), nil },
		Now: func() time.Time { return time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC) },
	})...)
	root.SetArgs(args)
	err := root.Execute()
	return out.String(), err
}

func file(t *testing.T, name, text string) string {
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

const definition = `
name: initech
scheme: token
signature: {header: X-Token}
event: {type: $.type, id: $.id}
`

func TestListAndShow(t *testing.T) {
	out, err := run("list")
	require.NoError(t, err)
	require.Contains(t, out, "acme")
	require.Regexp(t, `(?m)^zoom +Zoom +definition +`, out)
	out, err = run("show", "github")
	require.NoError(t, err)
	require.Contains(t, out, "X-Hub-Signature-256")
	_, err = run("show", "acme")
	require.ErrorContains(t, err, "is made of code")
	_, err = run("show", "../definitions/github")
	require.ErrorContains(t, err, "no provider")
	out, err = run("schema")
	require.NoError(t, err)
	require.Contains(t, out, "https://json-schema.org/draft/2020-12/schema")
}

func TestTryADefinition(t *testing.T) {
	path := file(t, "initech.yaml", definition)
	out, err := run("test", path)
	require.NoError(t, err)
	require.Equal(t, "ok      definition: initech: correct\n", out)

	request := file(t, "made.http", "POST /api/v1/webhooks/initech HTTP/1.1\nHost: hooks.example.com\nContent-Type: application/json\nX-Token: tok\n\n{\"type\":\"made\",\"id\":7}\n")
	out, err = run("test", path, "--request", request, "--secret", "tok")
	require.NoError(t, err)
	require.Contains(t, out, "a token at header:X-Token (3 bytes)")
	require.Contains(t, out, `event 1: id "7"; type "made"; subject none; time 2026-01-05T09:00:00Z`)
	require.NotContains(t, out, `"tok"`, "no secret is shown")

	out, err = run("test", path, "--request", request, "--secret", "other")
	require.ErrorContains(t, err, "the request is refused: verification")
	require.Contains(t, out, "FAILED  verification: no_match: none of 1 secrets matched")

	_, err = run("test", file(t, "wrong.yaml", "name: a\nscheme: hmac\nevent: {type: $.t}"))
	require.ErrorContains(t, err, "signature.header: It is required")
	_, err = run("test", "no-such-file")
	require.ErrorContains(t, err, "neither a file nor a provider")
	_, err = run("test", path, "--request", file(t, "x.http", "hello"))
	require.ErrorContains(t, err, "no empty line")
	_, err = run("test", path, "--request", file(t, "x.http", "hello\n\n{}"))
	require.ErrorContains(t, err, "does not begin with a line such as POST")
}

func TestTryADefinitionWithAddressesOrKeys(t *testing.T) {
	path := file(t, "initech.yaml", "name: initech\nallOf: [{scheme: addresses, addresses: [192.0.2.0/24]}, {scheme: token, signature: {header: X-Token}}]\nevent: {type: \"text:x\"}")
	sent := file(t, "x.http", "POST /x HTTP/1.1\nHost: a\nContent-Type: application/json\nX-Token: the-token\n\n{}")
	out, err := run("test", path, "--request", sent, "--secret", "the-token", "--from", "192.0.2.7")
	require.NoError(t, err, out)
	require.Contains(t, out, "an address of 1 networks; the client's is 192.0.2.7")
	for _, from := range []string{"", "203.0.113.1"} {
		out, err = run("test", path, "--request", sent, "--secret", "the-token", "--from", from)
		require.Error(t, err)
		require.Contains(t, out, "FAILED  verification: wrong_address")
	}
	_, err = run("test", path, "--request", sent, "--from", "here")
	require.ErrorContains(t, err, "--from is not an address")
	_, err = run("test", path, "--request", sent, "--keys", sent)
	require.ErrorContains(t, err, "not a JSON Web Key Set")
}

func TestTryTheRecordingsOfTheTests(t *testing.T) {
	recordings, err := filepath.Glob(filepath.Join("..", "..", "provider", "testdata", "*", "*.json"))
	require.NoError(t, err)
	tried := 0
	for _, path := range recordings {
		name := filepath.Base(filepath.Dir(path))
		if _, ok := provider.ShippedDefinition(name); !ok || filepath.Base(path) == "vector.json" { // whose body is none of the provider's
			continue
		}
		tried++
		out, err := run("test", name, "--request", path, "--keys", filepath.Join("..", "..", "provider", "testdata", "keys.json"))
		require.NoError(t, err, "%s\n%s", path, out)
	}
	require.Greater(t, tried, 40)
}
