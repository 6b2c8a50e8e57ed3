package cli

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
)

// runOK runs a command line that must succeed and returns its output.
func runOK(t *testing.T, line string) string {
	t.Helper()
	code, stdout, stderr := runLine(t, line)
	require.Zero(t, code, "%s: %s%s", line, stdout, stderr)
	return stdout
}

func TestAPendingSecretIsConfirmedFromTheCommandLine(t *testing.T) {
	db, _ := records(t)
	runOK(t, "integrations add asana --secret the-one-in-use --secret brought-first --secret brought-next")
	refused, _, stderr := runLine(t, "integrations confirm-secret asana")
	require.Equal(t, exitNotFound, refused)
	require.Contains(t, stderr, "asana has no such pending secret")

	var ids []string
	require.NoError(t, db.Select(t.Context(), &ids, `SELECT id FROM integration_secrets WHERE integration_id = (SELECT id FROM integrations WHERE source = 'asana') ORDER BY id`))
	require.Len(t, ids, 3)
	for _, id := range ids[1:] { // as a handshake brings them
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE integration_secrets SET pending_since = created_at, is_active = $2 WHERE id = $1`, id, false)
			return err
		}))
	}
	refused, _, stderr = runLine(t, "integrations confirm-secret asana")
	require.Equal(t, exitUsage, refused)
	require.Contains(t, stderr, "2 secrets of asana are pending; choose one by its id: "+ids[1]+", "+ids[2])
	require.Equal(t, "the pending secret "+ids[1]+" is brought-first\n", runOK(t, "integrations confirm-secret asana "+ids[1]+" --reveal"))
	require.Contains(t, runOK(t, "integrations show asana"), "pending", "to show it confirms nothing")
	require.Contains(t, runOK(t, "integrations confirm-secret asana "+ids[1]), "confirmed secret "+ids[1]+" of asana")
	refused, _, _ = runLine(t, "integrations confirm-secret asana "+ids[1]+" --reveal")
	require.Equal(t, exitNotFound, refused, "a confirmed one is never shown")
	require.Contains(t, runOK(t, "integrations confirm-secret asana"), "confirmed secret "+ids[2], "the only one left")
}

func TestIntegrationsFromTheCommandLine(t *testing.T) {
	db, _ := records(t)
	t.Setenv("ACME_SECRET", "secret-from-the-environment")
	require.NoError(t, os.WriteFile("second", []byte("secret-from-a-file\n"), 0o600))

	added := runOK(t, "integrations add acme --source acme-eu --name Europe --secret-env ACME_SECRET --secret-file second --to https://a.example/in --option publicUrl=https://hooks.example.com")
	require.Contains(t, added, "added acme-eu; send its webhooks to /api/v1/webhooks/acme-eu\n")
	require.Regexp(t, `deliveries to https://a.example/in are signed with whsec_\S+, which is shown only once`, added)
	require.Regexp(t, `acme-eu +acme +Europe +enabled +2 +https://a.example/in`, runOK(t, "integrations list"))

	require.Contains(t, runOK(t, "integrations add stripe --secret whsec_long-enough --option toleranceSeconds=60 --json"), `"toleranceSeconds": 60`)

	shown := runOK(t, "integrations show acme-eu")
	require.Contains(t, shown, `{"publicUrl":"https://hooks.example.com"}`)
	require.NotContains(t, shown, "whsec_")

	asked, _, question := runLine(t, "integrations disable acme-eu")
	require.Equal(t, exitUsage, asked)
	require.Contains(t, question, "acme-eu will be disabled: its webhooks are answered 404")
	require.Contains(t, runOK(t, "integrations show acme-eu"), "enabled", "it asked first")
	require.Contains(t, runOK(t, "integrations disable acme-eu --yes"), "disabled acme-eu: The source is disabled: its webhooks are answered 404")
	require.NotContains(t, runOK(t, "integrations list --active-only"), "acme-eu")
	require.Contains(t, runOK(t, "integrations enable acme-eu"), "enabled acme-eu")

	rotated := runOK(t, "integrations rotate-secret acme-eu --secret third-secret --note 2026 --expire-old 24h")
	require.Equal(t, 2, strings.Count(rotated, "stays valid for at most 24h0m0s"))
	var i struct {
		ID      string
		Secrets []struct{ Note, ExpiresAt string }
	}
	require.NoError(t, json.Unmarshal([]byte(runOK(t, "integrations show acme-eu --json")), &i))
	require.Len(t, i.Secrets, 3)
	require.NotEmpty(t, i.Secrets[0].ExpiresAt)
	require.Empty(t, i.Secrets[2].ExpiresAt)
	require.Equal(t, "2026", i.Secrets[2].Note)
	require.Contains(t, runOK(t, "integrations rotate-signing-secret acme-eu"), "deliveries are signed with whsec_")

	code, stdout, stderr := runLine(t, "integrations remove acme-eu")
	require.Equal(t, exitUsage, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "acme-eu (Europe) will accept no more webhooks")
	require.Contains(t, stderr, "not a terminal, so nothing was done: use --yes to confirm")
	require.Contains(t, runOK(t, "integrations remove acme-eu --yes"), "removed acme-eu")
	require.NotContains(t, runOK(t, "integrations list"), "acme-eu")
	require.Regexp(t, `acme-eu +acme +Europe +removed`, runOK(t, "integrations list --archived"))

	var actors []string
	require.NoError(t, db.Select(context.Background(), &actors, `SELECT DISTINCT actor FROM audit_entries WHERE entity_id = $1`, i.ID))
	require.Equal(t, []string{"gateway-cli"}, actors)
	var trail []string
	require.NoError(t, db.Select(context.Background(), &trail, `SELECT details FROM audit_entries`))
	for _, hidden := range []string{"secret-from-the-environment", "secret-from-a-file", "third-secret"} {
		require.NotContains(t, strings.Join(trail, "")+added+shown+rotated, hidden)
	}
}

func TestInvalidIntegrationCommands(t *testing.T) {
	records(t)
	for _, c := range []struct {
		sentence, line string
		code           int
		says           string
	}{
		{"alone", "integrations", exitUsage, "name a subcommand: add, apply, export, list"},
		{"no provider", "integrations add", exitUsage, "accepts 1 arg(s)"},
		{"several mistakes, one per line", "integrations add initech --source Acme --secret short", exitUsage,
			"3 mistakes:\n  source must begin with a lower-case letter or digit"},
		{"a variable that is not set", "integrations add acme --source a --secret-env NO_SUCH", exitUsage, "the environment variable NO_SUCH is not set"},
		{"a file that is not there", "integrations add acme --source a --secret-file nowhere", exitUsage, "nowhere cannot be read: no such file"},
		{"an option without a value", "integrations add acme --source a --secret long-enough --option x", exitUsage, "--option x: must be key=value"},
		{"an unknown option", "integrations add acme --source a --secret long-enough --option nope=1", exitUsage, "options.nope is not a field"},
		{"an option of the wrong type", "integrations add acme --source a --secret long-enough --option toleranceSeconds=soon", exitUsage, "options.toleranceSeconds must be a whole number"},
		{"a source that exists", "integrations add acme --secret long-enough", exitRefused, "An integration with the source acme already exists"},
		{"an unknown source", "integrations show nowhere", exitNotFound, "There is no integration nowhere."},
		{"no new secret", "integrations rotate-secret acme", exitUsage, "give exactly one new secret"},
		{"two new secrets", "integrations rotate-secret acme --secret long-enough --secret longer-enough", exitUsage, "give exactly one new secret"},
		{"a negative duration", "integrations rotate-secret acme --secret long-enough --expire-old -1h", exitUsage, "--expire-old must be at least 0s"},
		{"jobs that are dropped", "integrations remove acme --open-jobs drop", exitUsage, "--open-jobs must be finish or cancel"},
		{"an unknown destination", "integrations rotate-signing-secret acme --to https://nowhere.example", exitUsage, "0 destinations of acme match"},
		{"no file", "integrations apply", exitUsage, "give the file with -f"},
		{"a file of integrations that is not there", "integrations apply -f nowhere.yaml", exitUsage, "no such file"},
	} {
		code, stdout, stderr := runLine(t, c.line)
		require.Equal(t, c.code, code, "%s: %s%s", c.sentence, stdout, stderr)
		require.Contains(t, stderr, c.says, c.sentence)
	}
}

const described = `
integrations:
  - source: acme-eu
    provider: acme
    name: Europe
    secrets:
      - env:ACME_SECRET
      - value: file:second
        note: the old one
    destinations:
      - url: https://a.example/in
        headers: {x-team: orders, x-key: "env:TEAM_KEY"}
        auth: {type: bearer, token: "env:TEAM_KEY"}
      - url: https://b.example/in
        policy: {maxAttempts: 3}
    options: {publicUrl: https://hooks.example.com}
    rateLimitPerMinute: 10
`

func TestIntegrationsFromAFile(t *testing.T) {
	records(t)
	t.Setenv("ACME_SECRET", "secret-from-the-environment")
	t.Setenv("TEAM_KEY", "key-of-the-team")
	require.NoError(t, os.WriteFile("second", []byte("secret-from-a-file\n"), 0o600))
	all := ""
	apply := func(text, flags string) string {
		t.Helper()
		require.NoError(t, os.WriteFile("i.yaml", []byte(text), 0o600))
		out := runOK(t, "integrations apply -f i.yaml "+flags)
		all += out
		return out
	}
	const plan = "+ acme-eu: integration of acme, with 2 secrets, to https://a.example/in, to https://b.example/in\n"
	require.Equal(t, plan, apply(described, "--dry-run"))
	code, stdout, stderr := runLine(t, "integrations apply -f i.yaml")
	require.Equal(t, exitUsage, code)
	require.Equal(t, plan, stdout, "the plan comes first")
	require.Contains(t, stderr, "use --yes to confirm")
	require.NotContains(t, runOK(t, "integrations list"), "acme-eu", "nothing was done")
	require.Equal(t, plan+"applied 1 change\n", apply(described, "--yes"))

	const nothing = "nothing to do: everything matches the file\n"
	require.Equal(t, nothing, apply(described, "--yes"), "the second time")
	require.JSONEq(t, `{"applied":false,"steps":[]}`, apply(described, "--json"))

	exported := runOK(t, "integrations export")
	require.Contains(t, exported, "it also has headers x-key, x-team, auth bearer, which stay as they are")
	require.Equal(t, nothing, apply(exported, "--yes"), "an export is read back without a difference")
	require.Equal(t, nothing, apply(runOK(t, "integrations export acme-eu"), "--yes"))

	changed := strings.NewReplacer(
		"name: Europe", "name: EU", "      - env:ACME_SECRET\n", "      - env:NEXT_SECRET\n", "the old one", "goes in May",
		"token: \"env:TEAM_KEY\"", "token: \"env:NEXT_SECRET\"", "https://b.example/in", "https://c.example/in",
		"rateLimitPerMinute: 10", "rateLimitPerMinute: null\n    isActive: false",
	).Replace(described)
	t.Setenv("NEXT_SECRET", "the-next-secret")
	out := apply(changed, "--yes")
	for i, line := range []string{
		`^~ acme-eu: name, isActive, rateLimitPerMinute \(it is disabled: its webhooks are answered 404, .+ kept in quarantine for 168h, .+\)$`, `^\+ acme-eu: secret$`, `^~ acme-eu: secret [0-9a-f-]{36} \(the old one\): note$`,
		`^- acme-eu: secret [0-9a-f-]{36}$`, `^~ acme-eu: destination https://a.example/in: auth$`, `^\+ acme-eu: destination https://c.example/in$`,
		`^- acme-eu: destination https://b.example/in$`, `^applied 7 changes$`,
	} {
		require.Regexp(t, line, strings.Split(out, "\n")[i])
	}
	require.Equal(t, nothing, apply(changed, "--yes"))
	require.Equal(t, nothing, apply("integrations: [{source: acme-eu}]", "--yes"), "what is not mentioned stays unchanged")

	runOK(t, "integrations remove acme-eu --yes")
	code, _, stderr = runLine(t, "integrations apply -f i.yaml --yes")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "integrations[0].source was removed")
	for _, hidden := range []string{"secret-from-the-environment", "secret-from-a-file", "the-next-secret", "key-of-the-team", "whsec_"} {
		require.NotContains(t, all, hidden)
	}
}

func TestAllMistakesInAFileOfIntegrationsAreReported(t *testing.T) {
	records(t)
	for _, c := range []struct {
		sentence, text string
		says           []string
	}{
		{"no list", "a: 1", []string{"a is not a field", "integrations must be a list"}},
		{"no YAML", "integrations: [", []string{"i.yaml: yaml: line"}},
		{"plain secrets", `integrations: [{source: a, provider: acme, secrets: [plain-secret, {value: plain-secret}, "env:NO_SUCH", "file:nowhere"],
			destinations: [{url: "https://a.example", auth: {type: bearer, token: plain-secret}, headers: {x: "env:NO_SUCH"}}]}]`,
			[]string{"integrations[0].secrets[0] must be a reference", "integrations[0].secrets[1].value must be a reference",
				"integrations[0].secrets[2] cannot be read: the environment variable NO_SUCH is not set", "integrations[0].secrets[3] cannot be read: nowhere",
				"integrations[0].destinations[0].auth.token must be a reference", "integrations[0].destinations[0].headers.x cannot be read"}},
		{"a plain client key", `integrations: [{source: a, provider: acme, secrets: ["env:PATH"], destinations: [{url: "https://a.example",
			tls: {caCertificate: "file:nowhere.pem", clientCertificate: no PEM, clientKey: plain-secret}}]}]`,
			[]string{"integrations[0].destinations[0].tls.caCertificate cannot be read: nowhere.pem", "integrations[0].destinations[0].tls.clientKey must be a reference"}},
		{"invalid TLS files", `integrations: [{source: a, provider: acme, secrets: ["env:PATH"], destinations: [{url: "https://a.example",
			tls: {caCertificate: "file:i.yaml"}}]}]`, []string{"integrations[0].destinations[0].tls.caCertificate holds text that is not PEM"}},
		{"several integrations", `integrations: [{source: acme, provider: globex}, {source: b}, {source: acme}, {source: B, provider: initech, secrets: []}]`,
			[]string{"integrations[0].provider is acme and cannot be changed", "integrations[1].provider is required", "integrations[1].secrets must hold",
				"integrations[2].source is the same as that of integrations[0]", "integrations[3].source must begin", "integrations[3].provider must be one of"}},
		{"a destination twice", `integrations: [{source: acme, destinations: [{url: "https://a.example"}, {url: "https://a.example"}, {}]}]`,
			[]string{"integrations[0].destinations[1].url is the same as that of destinations[0]", "integrations[0].destinations[2].url"}},
	} {
		require.NoError(t, os.WriteFile("i.yaml", []byte(c.text), 0o600))
		code, stdout, stderr := runLine(t, "integrations apply -f i.yaml --yes")
		require.Equal(t, exitUsage, code, "%s: %s", c.sentence, stdout)
		for _, s := range c.says {
			require.Contains(t, stderr, s, c.sentence)
		}
		require.NotContains(t, stderr, "plain-secret")
	}
}
