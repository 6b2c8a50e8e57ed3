package app

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

const erasedAddress = "ada.of.the.test@example.com"

// dump is what all tables of records hold, as text.
func (r *replayed) dump() string {
	r.t.Helper()
	list, columnsOf := `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'`, `SELECT name FROM pragma_table_info($1)`
	if r.db.Dialect.Name == "postgres" {
		list = `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'`
		columnsOf = `SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1`
	}
	var tables, all []string
	require.NoError(r.t, r.db.Select(context.Background(), &tables, list))
	require.NotEmpty(r.t, tables)
	for _, table := range tables {
		var columns, rows []string
		require.NoError(r.t, r.db.Select(context.Background(), &columns, columnsOf, table))
		for i, column := range columns {
			columns[i] = `COALESCE(CAST("` + column + `" AS text), '')`
		}
		require.NoError(r.t, r.db.Select(context.Background(), &rows, fmt.Sprintf(`SELECT %s FROM "%s"`, strings.Join(columns, " || ' ' || "), table)))
		all = append(all, rows...)
	}
	return strings.Join(all, "\n")
}

// holds reports whether the records hold the address: as text, or as PostgreSQL shows bytes.
func (r *replayed) holds() bool {
	all := r.dump()
	return strings.Contains(all, erasedAddress) || strings.Contains(all, hex.EncodeToString([]byte(erasedAddress)))
}

// TestAValueIsErasedFromAllRecords: from events, webhooks, answers, dead letters, the quarantine and
// the filters of replays; the trail, the erasure and its answers never have it.
func TestAValueIsErasedFromAllRecords(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		r := newReplayed(t, db, 1)
		r.failing = "/b"
		about := func(n int) string {
			return fmt.Sprintf(`{"id":"of_%d","type":"order.made","timestamp":"2026-01-31T12:00:00Z","resource":{"id":"Order_%d","to":[{"email":%q}]}}`, n, n, erasedAddress)
		}
		one := demoSource{name: "one", secret: "a-token-of-one", header: "X-Globex-Token"}
		two := demoSource{name: "two", secret: "a-token-of-two", header: "X-Globex-Token"}
		require.NoError(t, r.post(t.Context(), one, about(1)))
		require.NoError(t, r.post(t.Context(), two, about(2)))
		require.Error(t, r.post(t.Context(), demoSource{name: "one", secret: "wrong", header: "X-Globex-Token"}, about(3)))
		require.NoError(t, r.ingestion.Close(), "it writes what waits for the quarantine")
		r.working()
		r.settled()
		r.replayAll(fmt.Sprintf(`{"filter":{"subject":%q},"reason":"the receiver lost them"}`, erasedAddress))
		require.NotEqual(t, "0", r.fixture.text(`SELECT count(*) FROM delivery_attempts WHERE response_body LIKE '%' || $1 || '%'`, erasedAddress))
		require.NotEqual(t, "0", r.fixture.text(`SELECT count(*) FROM dead_letters`))
		require.Equal(t, "1", r.fixture.text(`SELECT count(*) FROM quarantine`))
		require.True(t, r.holds())

		order := fmt.Sprintf(`{"value":%q,"paths":["$.data.to[*].email","$..to"],"all":true,"reason":"a request for erasure"}`, erasedAddress)
		require.Equal(t, 0.0, r.erase("admin of acme", order)["counts"].(map[string]any)["events"], "the sources are not its own")
		status, dry := r.ask("admin", "POST", "/erasures", strings.Replace(order, `"reason"`, `"dryRun":true,"reason"`, 1))
		require.Equal(t, http.StatusOK, status, dry)
		require.Equal(t, 2.0, dry["events"])
		require.Equal(t, 1.0, dry["quarantined"])
		require.True(t, r.holds(), "counting removes nothing")

		done := r.erase("admin", order)
		counts := done["counts"].(map[string]any)
		require.Equal(t, 2.0, counts["events"])
		require.Equal(t, 1.0, counts["quarantined"])
		require.GreaterOrEqual(t, counts["answers"], 2.0)
		require.GreaterOrEqual(t, counts["deadLetters"], 1.0)
		require.False(t, r.holds())
		require.NotContains(t, fmt.Sprint(done), erasedAddress)
		require.Equal(t, "[erased]", r.fixture.text(`SELECT CASE WHEN filter LIKE '%[erased]%' THEN '[erased]' ELSE filter END FROM replays`))
		require.Equal(t, "2", r.fixture.text(`SELECT count(*) FROM event_states WHERE erased_at IS NOT NULL`))
		require.True(t, r.fixture.verify(false).Holds)
		require.NotEqual(t, "", r.fixture.text(`SELECT details FROM audit_entries WHERE action = 'records.erased' AND details LIKE '%textDigest%' ORDER BY id DESC LIMIT 1`))
	})
}

// erase orders an erasure and returns it once it has ended.
func (r *replayed) erase(key, order string) map[string]any {
	r.t.Helper()
	status, erasure := r.ask(key, "POST", "/erasures", order)
	require.Equal(r.t, http.StatusAccepted, status, erasure)
	erasureID := erasure["id"].(string)
	require.Eventually(r.t, func() bool {
		_, err := r.erasure.Round(context.Background())
		require.NoError(r.t, err)
		_, erasure = r.ask("viewer", "GET", "/erasures/"+erasureID, "")
		return slices.Contains([]any{"completed", "cancelled"}, erasure["status"])
	}, time.Minute, 10*time.Millisecond)
	return erasure
}
