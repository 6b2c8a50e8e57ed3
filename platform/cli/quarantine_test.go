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

	listed := ok(t, "quarantine list --source acme --reason no_match")
	require.Contains(t, listed, first)
	require.Contains(t, listed, "\n2 of 2\n")
	require.Contains(t, ok(t, "quarantine list --source globex"), "\n0 of 0\n")
	shown := ok(t, "quarantine show "+first)
	require.Contains(t, shown, `body              "{\"eventId\":\"q1\"`)
	require.Contains(t, shown, "x-acme-signature  0a0a")

	code, _, stderr := runLine(t, "quarantine release "+first)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "It is refused still: none of 1 secrets matched.")
	require.Equal(t, "released 0 of 2; the events of 0 were known already\nrefused still: 1 missing_header, 1 no_match\n", ok(t, "quarantine release --source acme"))
	require.Contains(t, ok(t, "quarantine show "+second), "missing header X-Acme-Signature", "why it is refused now")

	exec(`UPDATE quarantine SET request_headers = $1`, `{"x-acme-signature":["`+signature(t)+`"]}`)
	released := ok(t, "quarantine release "+first)
	require.Regexp(t, "released "+first+" as event [0-9a-f-]{36}\n", released)
	var all map[string]any
	require.NoError(t, json.Unmarshal([]byte(ok(t, "quarantine release --source acme --json")), &all))
	require.Equal(t, map[string]any{"matched": 1.0, "released": 0.0, "duplicates": 1.0, "refused": map[string]any{}}, all)
	var actor string
	require.NoError(t, db.Get(context.Background(), &actor, `SELECT actor FROM audit_entries WHERE entity_id = $1`, first))
	require.Equal(t, "gateway-cli", actor)
}

func TestQuarantineCommandsThatAreWrong(t *testing.T) {
	records(t)
	for _, c := range []struct {
		sentence, line string
		code           int
		says           string
	}{
		{"alone", "quarantine", exitUsage, "name what to do: list, show or release"},
		{"a page that is none", "quarantine list --page 0 --page-size 101", exitUsage, "--page-size must be from 1 to 100"},
		{"an id that is none", "quarantine show 7", exitUsage, "the id must be a UUID"},
		{"an id that there is not", "quarantine show " + id.New(), exitFailed, "There is no request"},
		{"nothing to release", "quarantine release", exitUsage, "name one by its id, or all of a source"},
		{"both", "quarantine release " + id.New() + " --source acme", exitUsage, "name one by its id, or all of a source"},
		{"a reason alone", "quarantine release --reason no_match", exitUsage, "name one by its id, or all of a source"},
	} {
		code, stdout, stderr := runLine(t, c.line)
		require.Equal(t, c.code, code, "%s: %s%s", c.sentence, stdout, stderr)
		require.Contains(t, stderr, c.says, c.sentence)
	}
}

// signature is acme's of the body above, with the seeded secret.
func signature(t *testing.T) string {
	t.Helper()
	mac := hmac.New(sha256.New, []byte("acme-demo-secret"))
	_, err := mac.Write([]byte(refusedBody))
	require.NoError(t, err)
	return hex.EncodeToString(mac.Sum(nil))
}
