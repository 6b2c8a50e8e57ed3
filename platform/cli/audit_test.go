package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAudit(t *testing.T) {
	_, exec := records(t)
	code, stdout, stderr := runLine(t, "audit verify")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "0 entries in 0 seals are unchanged;")

	code, stdout, stderr = runLine(t, "audit export")
	require.Zero(t, code, stderr)
	for _, line := range strings.Split(strings.TrimSpace(stdout), "\n") {
		require.True(t, strings.HasPrefix(line, `{"seal":null,"id":"`), line)
	}

	anchor := "1:" + strings.Repeat("ab", 32)
	code, stdout, stderr = runLine(t, "audit verify --anchor "+anchor)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "seal 1: anchor_differs: no such seal exists")
	require.Contains(t, stderr, "gateway: the audit trail was tampered with: anchor_differs at seal 1\n")

	exec(`INSERT INTO audit_seals (seq, first_id, last_id, count, late, leaves, sealed_by, swept_seq, previous_hash, hash, sealed_at, dropped_seq, dropped_hash)
		SELECT 1, min(id), max(id), 0, false, x'', '', 0, '', 'forged', max(created_at), 0, '' FROM audit_entries`)
	code, stdout, _ = runLine(t, "audit verify --json")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, `"kind": "seal_changed"`)

	for _, line := range []string{"audit", "audit verify --anchor 1:ab", "audit verify --anchor x", "audit verify --retained-from yesterday", "audit verify now"} {
		code, _, _ = runLine(t, line)
		require.Equal(t, exitUsage, code, line)
	}
}
