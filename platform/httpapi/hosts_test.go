package httpapi_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
)

func TestManagementIsServedOnlyUnderItsOwnHosts(t *testing.T) {
	credential := "the-key-of-these-tests"
	request := func(hosts []string, path, host string) int {
		s := httpapi.New(httpapi.Config{ManagementKey: secret.New("the-key-of-these-tests"), Hosts: hosts},
			httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System})
		respond := func(c echo.Context) error { return httpapi.Data(c, http.StatusOK, "data") }
		s.Routes().Viewer.GET("/events", respond, httpapi.Spec{Raw: true})
		s.Routes().Public.POST("/webhooks/:source", respond, httpapi.Spec{Raw: true})
		method := http.MethodGet
		if path != "/events" {
			method = http.MethodPost
		}
		r := httptest.NewRequest(method, httpapi.Base+path, nil)
		r.Host = host
		r.Header.Set(httpapi.HeaderManagementKey, credential)
		recorder := httptest.NewRecorder()
		s.Handler().ServeHTTP(recorder, r)
		return recorder.Code
	}
	own := []string{"gateway.example.com"}
	for host, want := range map[string]int{
		"localhost:3000": 200, "LOCALHOST": 200, "localhost.:3000": 200, "dev.localhost:3000": 200, "127.0.0.1:3000": 200, "[::1]:3000": 200, "192.168.1.5": 200,
		"gateway.example.com": 200, "Gateway.Example.com:443": 200,
		"evil.example:3000": 403, "localhost.evil.example:3000": 403, "127.0.0.1.evil.example": 403, "gateway.example.com.evil.example": 403, "": 403,
	} {
		require.Equal(t, want, request(own, "/events", host), "%q", host)
	}
	require.Equal(t, 200, request(own, "/webhooks/acme", "tunnel.example"), "webhooks are accepted under any host: their signature authenticates them")
	require.Equal(t, 200, request(nil, "/events", "evil.example"), "without configured hosts, any host is allowed")
	require.Equal(t, 403, request([]string{}, "/events", "evil.example"))
	credential = ""
	require.Equal(t, 401, request(own, "/events", "evil.example"), "without a credential the response is only 401")
}
