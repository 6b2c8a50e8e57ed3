package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

func TestErrors(t *testing.T) {
	cause := errors.New("pq: password authentication failed at 10.1.2.3")
	for _, c := range []struct {
		name       string
		err        error
		status     int
		code       string
		message    string
		details    string
		retryAfter string
	}{
		{"a mistake", fault.Invalid.New("r", "No."), 400, "VALIDATION_ERROR", "No.", "null", ""},
		{"a mistake in a field", fault.Invalid.New("r", "No.").At("reason"), 400, "VALIDATION_ERROR", "No.", `[{"field":"reason","message":"No."}]`, ""},
		{"no credentials", fault.Unauthorized.New("r", "No."), 401, "UNAUTHORIZED", "No.", "null", ""},
		{"not allowed", fault.Forbidden.New("r", "No."), 403, "FORBIDDEN", "No.", "null", ""},
		{"not there", fault.NotFound.New("r", "No."), 404, "NOT_FOUND", "No.", "null", ""},
		{"in conflict", fault.Conflict.New("r", "No."), 409, "CONFLICT", "No.", "null", ""},
		{"too large", fault.TooLarge.New("r", "No."), 413, "PAYLOAD_TOO_LARGE", "No.", "null", ""},
		{"another media type", fault.UnsupportedMedia.New("r", "No."), 415, "UNSUPPORTED_MEDIA_TYPE", "No.", "null", ""},
		{"too many", fault.RateLimited.New("r", "No.").After(7 * time.Second), 429, "RATE_LIMITED", "No.", "null", "7"},
		{"a part of a second is rounded up", fault.RateLimited.New("r", "No.").After(time.Millisecond), 429, "RATE_LIMITED", "No.", "null", "1"},
		{"a second and a part are two", fault.RateLimited.New("r", "No.").After(1001 * time.Millisecond), 429, "RATE_LIMITED", "No.", "null", "2"},
		{"the default is a second", fault.Unavailable.Wrap(cause, "r", "Later."), 503, "DEPENDENCY_UNAVAILABLE", "Later.", "null", "1"},
		{"wrapped on the way up", fmt.Errorf("receive: %w", fault.NotFound.Wrap(cause, "r", "No.")), 404, "NOT_FOUND", "No.", "null", ""},
		{"unclassified", cause, 500, "INTERNAL_SERVER_ERROR", "Something went wrong on our side; it is in the log under this correlation id.", "null", ""},
		{"ours, with a message", fault.Internal.Wrap(cause, "r", "the table is broken"), 500, "INTERNAL_SERVER_ERROR", "Something went wrong on our side; it is in the log under this correlation id.", "null", ""},
		{"an unclassified deadline", fmt.Errorf("select: %w", context.DeadlineExceeded), 503, "DEPENDENCY_UNAVAILABLE", "The request took too long and was cancelled.", "null", "1"},
		{"an error of the router that is ours", echo.NewHTTPError(http.StatusBadGateway, "secret"), 500, "INTERNAL_SERVER_ERROR", "Something went wrong on our side; it is in the log under this correlation id.", "null", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := setup(t, httpapi.Config{}, map[string]echo.HandlerFunc{"/fail": func(echo.Context) error { return c.err }})
			a := h.do(t, httptest.NewRequest(http.MethodPost, "/api/v1/fail", nil))
			require.Equal(t, c.status, a.status)
			require.JSONEq(t, fmt.Sprintf(`{"success":false,"error":{"code":%q,"message":%q,"details":%s}}`, c.code, c.message, c.details), a.text)
			require.Equal(t, c.retryAfter, a.header.Get("Retry-After"))
			if c.status >= 500 {
				require.Contains(t, h.log.String(), c.err.Error(), "the log has the cause")
			} else {
				require.NotContains(t, h.log.String(), `"level":"ERROR"`)
			}
		})
	}
}

func TestAPanicIsAnInternalErrorWithItsTextOnlyInTheLog(t *testing.T) {
	h := setup(t, httpapi.Config{}, map[string]echo.HandlerFunc{
		"/panic": func(echo.Context) error { panic("the boiler burst") },
		"/late": func(c echo.Context) error {
			_ = httpapi.Data(c, http.StatusOK, "already sent")
			panic("too late")
		},
	})
	a := h.do(t, httptest.NewRequest(http.MethodPost, "/api/v1/panic", nil))
	require.Equal(t, http.StatusInternalServerError, a.status)
	require.Equal(t, "INTERNAL_SERVER_ERROR", a.body.Error.Code)
	require.NotContains(t, a.text, "boiler")
	require.Contains(t, h.log.String(), "the boiler burst")
	require.Contains(t, h.log.String(), "errors_test.go", "with the stack")

	a = h.do(t, httptest.NewRequest(http.MethodPost, "/api/v1/late", nil))
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, h.log.String(), "too late", "also if the response had started")
}

func TestAHandlerMayAbortTheConnection(t *testing.T) {
	h := setup(t, httpapi.Config{}, map[string]echo.HandlerFunc{"/cut": func(echo.Context) error { panic(http.ErrAbortHandler) }})
	_, err := http.Post("http://"+h.start(t)+"/api/v1/cut", "", nil)
	require.Error(t, err)
	require.NotContains(t, h.log.String(), "stack")
}

func TestAnUnserializableResponseIsAServerError(t *testing.T) {
	h := setup(t, httpapi.Config{}, map[string]echo.HandlerFunc{"/bad": func(c echo.Context) error {
		return httpapi.Data(c, http.StatusOK, func() {})
	}})
	require.Equal(t, http.StatusInternalServerError, h.do(t, httptest.NewRequest(http.MethodPost, "/api/v1/bad", nil)).status)
}
