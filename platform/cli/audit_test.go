package cli

import (
	"strings"
	"testing"
	"time"

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

	exec(`INSERT INTO audit_entries (id, entity_type, action, actor, details, created_at)
		VALUES ('0190a1b2-0000-7000-8000-000000000001', 'records', 'seals.lost', 'gateway', '{"seen":{"seal":7,"hash":"a"},"found":{"seal":5,"hash":"b"}}', $1)`,
		time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC))
	code, stdout, stderr = runLine(t, "audit verify")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "sealing went on from seal 5")
	require.Contains(t, stderr, "If that was a failover or a restored database, say so: --lost-before 2026-01-05T10:00:01Z")
	code, _, stderr = runLine(t, "audit verify --lost-before 2026-01-05T10:00:00Z")
	require.Equal(t, exitFailed, code, stderr)
	code, _, stderr = runLine(t, "audit verify --lost-before 2026-01-05T10:00:01Z")
	require.Zero(t, code, stderr)
	code, stdout, _ = runLine(t, "audit verify -o yaml")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, "lost:\n")

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

	for _, line := range []string{"audit", "audit verify --anchor 1:ab", "audit verify --anchor x", "audit verify --retained-from yesterday", "audit verify --lost-before now", "audit verify -o xml", "audit verify now"} {
		code, _, _ = runLine(t, line)
		require.Equal(t, exitUsage, code, line)
	}
}
