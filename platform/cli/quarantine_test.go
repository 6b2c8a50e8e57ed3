package cli

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/id"
)

const refusedBody = `{"eventId":"q1","eventType":"t","occurredAt":"2026-01-31T12:00:00Z","data":{}}`

func TestQuarantineFromTheCommandLine(t *testing.T) {
	db, exec := records(t)
	var integrationID string
	require.NoError(t, db.Get(context.Background(), &integrationID, `SELECT id FROM integrations WHERE source = 'acme'`))
	// refuse puts a request with these headers into quarantine.
	refuse := func(headers string) string {
		quarantineID := id.New()
		exec(`INSERT INTO quarantine (id, source, integration_id, provider, reason, detail, method, url, request_headers, header_digests, raw_body, size,
			source_ip, correlation_id, received_at) VALUES ($1, 'acme', $2, 'acme', 'no_match', 'none of 1 secrets matched', 'POST', 'http://x/acme', $3, '{}', $4, 9,
			'203.0.113.9', 'corr-1', $5)`, quarantineID, integrationID, headers,
			[]byte(refusedBody), clock.System())
		return quarantineID
	}
	first, second := refuse(`{"x-acme-signature":["`+strings.Repeat("0a", 32)+`"]}`), refuse(`{}`)

	listed := runOK(t, "quarantine list --source acme --reason no_match")
	require.Contains(t, listed, first)
	require.Contains(t, listed, "\n2 of 2\n")
	require.Equal(t, "Nothing in quarantine matches.\n", runOK(t, "quarantine list --source globex"))
	shown := runOK(t, "quarantine show "+first)
	require.Contains(t, shown, `body              "{\"eventId\":\"q1\"`)
	require.Contains(t, shown, "x-acme-signature  0a0a")

	code, _, stderr := runLine(t, "quarantine release "+first)
	require.Equal(t, exitRefused, code)
	require.Contains(t, stderr, "Still refused: none of 1 secrets matched.")
	code, stdout, stderr := runLine(t, "quarantine release --source acme")
	require.Equal(t, exitFailed, code, "a script must not take it for a success")
	require.Equal(t, "released 0 of 2; 0 were duplicates\nstill refused: 1 missing_header, 1 no_match\n", stdout)
	require.Contains(t, stderr, "2 of 2 are still in quarantine")
	code, stdout, _ = runLine(t, "quarantine release --source acme --json")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, `"matched": 2`)
	code, _, stderr = runLine(t, "quarantine release --source globex")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "nothing in quarantine matches, so nothing was released")
	require.Contains(t, runOK(t, "quarantine show "+second), "missing header X-Acme-Signature", "the current reason")

	require.Equal(t, "2 would be verified again\n", runOK(t, "quarantine release --all --dry-run"))
	require.Equal(t, "0 would be verified again\n", runOK(t, "quarantine release --from-ip 198.51.100.1 --dry-run"))

	exec(`UPDATE quarantine SET request_headers = $1`, `{"x-acme-signature":["`+signature(t)+`"]}`)
	released := runOK(t, "quarantine release "+first)
	require.Regexp(t, "released "+first+" as event [0-9a-f-]{36}\n", released)
	var all map[string]any
	require.NoError(t, json.Unmarshal([]byte(runOK(t, "quarantine release --source acme --json")), &all))
	require.Equal(t, map[string]any{"matched": 1.0, "released": 0.0, "duplicates": 1.0, "refused": map[string]any{}, "skipped": 0.0}, all)
	code, _, stderr = runLine(t, "quarantine delete "+refuse(`{}`))
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "use --yes to confirm")
	third := refuse(`{}`)
	require.Equal(t, "deleted "+third+"\n", runOK(t, "quarantine delete --yes "+third))
	code, _, _ = runLine(t, "quarantine show "+third)
	require.Equal(t, exitNotFound, code)
	var actor string
	require.NoError(t, db.Get(context.Background(), &actor, `SELECT actor FROM audit_entries WHERE entity_id = $1`, first))
	require.Equal(t, "gateway-cli", actor)
}

func TestInvalidQuarantineCommands(t *testing.T) {
	records(t)
	for _, c := range []struct {
		sentence, line string
		code           int
		says           string
	}{
		{"alone", "quarantine", exitUsage, "name a subcommand: list, show, release or delete"},
		{"an invalid limit", "quarantine list --limit 0", exitUsage, "--limit must be at least 1"},
		{"an invalid id", "quarantine show 7", exitUsage, "the id must be a UUID"},
		{"an unknown id", "quarantine show " + id.New(), exitNotFound, "There is no request"},
		{"nothing to release", "quarantine release", exitUsage, "give an id, a filter, or --all"},
		{"both", "quarantine release " + id.New() + " --source acme", exitUsage, "give an id or a filter, not both"},
		{"all by filter", "quarantine release --all --reason no_match", exitUsage, "give an id, a filter, or --all"},
	} {
		code, stdout, stderr := runLine(t, c.line)
		require.Equal(t, c.code, code, "%s: %s%s", c.sentence, stdout, stderr)
		require.Contains(t, stderr, c.says, c.sentence)
	}
}

// signature returns acme's signature of the body above, with the seeded secret.
func signature(t *testing.T) string {
	t.Helper()
	mac := hmac.New(sha256.New, []byte("acme-demo-secret"))
	_, err := mac.Write([]byte(refusedBody))
	require.NoError(t, err)
	return hex.EncodeToString(mac.Sum(nil))
}
