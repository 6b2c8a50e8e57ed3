package cli

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

func TestPartitionsOnSQLite(t *testing.T) {
	records(t)
	code, stdout, stderr := runLine(t, "partitions")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "normalized_events")
	require.Contains(t, stdout, "older than 400d")
	require.Contains(t, stdout, "SQLite has no partitions")
	require.Contains(t, runOK(t, "partitions -o yaml"), "\ntables:\n")
	require.Contains(t, runOK(t, "verify -o jsonl"), `"holds":true`)
	require.Contains(t, runOK(t, "secrets status -o yaml"), "kinds:\n")
}

func TestPartitionsOnPostgres(t *testing.T) {
	setup(t, "DATABASE_URL", testkit.Postgres(t), "LOG_LEVEL", "error", "RETENTION_AUDIT", "0")
	code, stdout, stderr := runLine(t, "partitions")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "normalized_events_older")
	require.Regexp(t, `normalized_events_p\d{8} .* from 20\d\d-\d\d-\d\d`, stdout)
	require.Regexp(t, `audit_entries_p\d{8} .* never`, stdout)
	require.Regexp(t, `audit_groups_p\d{8} .* never`, stdout)

	code, stdout, stderr = runLine(t, "partitions --json")
	require.Zero(t, code, stderr)
	var report struct {
		Tables []struct {
			Name, Retention string
			Partitions      []struct{ Name string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &report), stdout)
	require.Equal(t, "webhook_events", report.Tables[0].Name)
	require.Equal(t, "90d", report.Tables[0].Retention)
	require.NotEmpty(t, report.Tables[0].Partitions)
}
