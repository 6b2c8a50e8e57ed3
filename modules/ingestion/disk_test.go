package ingestion

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

// TestAFullDiskOfTheEmbeddedDatabaseHeals: webhooks get 503 while the database's file cannot grow,
// nothing of them is stored, and they are accepted as soon as there is room.
func TestAFullDiskOfTheEmbeddedDatabaseHeals(t *testing.T) {
	db := testkit.Open(t, testkit.SQLite(t))
	g := setup(t, db)
	pages := func(pragma string) (n int) {
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error { return tx.Get(t.Context(), &n, "PRAGMA "+pragma) }))
		return n
	}
	g.do(acmeRequest(acmeBody("before")))
	before := pages("max_page_count")
	pages(fmt.Sprintf("max_page_count = %d", pages("page_count")))
	large := func(id string) string {
		return strings.Replace(acmeBody(id), `"d1"`, `"`+strings.Join(strings.Split(strings.Repeat(id+"0123456789", 1500), ""), "x")+`"`, 1)
	}
	var refused answer
	n := 0
	for ; n < 200; n++ { // the free pages are used up first
		if refused = g.do(acmeRequest(large(fmt.Sprintf("full%d", n)))); refused.Status != http.StatusAccepted {
			break
		}
	}
	require.Equal(t, http.StatusServiceUnavailable, refused.Status)
	require.Equal(t, "DEPENDENCY_UNAVAILABLE", refused.Error.Code)
	require.NotEmpty(t, refused.Header.Get("Retry-After"))
	require.True(t, db.DiskFull(), "readiness asks this")
	require.Equal(t, n+1, g.stored(), "nothing is half-stored")

	pages(fmt.Sprintf("max_page_count = %d", before))
	require.Equal(t, http.StatusAccepted, g.do(acmeRequest(large(fmt.Sprintf("full%d", n)))).Status, "it is accepted without a restart")
	require.Equal(t, n+2, g.stored())
}
