package ingestion

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// A query that would run for minutes is ended on both engines, and is no fault of ours.
func TestOperatorQueriesEndAtTheirDeadline(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		server := httpapi.New(httpapi.Config{ManagementKey: secret.New(managementKey), QueryTimeout: 200 * time.Millisecond},
			httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System})
		server.Routes().Viewer.GET("/endless", func(c echo.Context) error {
			var n int64
			return db.Get(c.Request().Context(), &n, `
WITH RECURSIVE more (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < 10000000000)
SELECT count(*) FROM more`)
		}, httpapi.Spec{Summary: "A query without end."})
		r := httptest.NewRequest(http.MethodGet, "/api/v1/endless", nil)
		r.Header.Set(httpapi.HeaderManagementKey, managementKey)
		w := httptest.NewRecorder()
		began := time.Now()
		server.Handler().ServeHTTP(w, r)
		require.Equal(t, http.StatusServiceUnavailable, w.Code, w.Body.String())
		require.Less(t, time.Since(began), 10*time.Second)
	})
}
