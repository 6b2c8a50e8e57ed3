package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
)

// answers is the only table that maps failures to HTTP.
var answers = map[fault.Kind]struct {
	status int
	code   string
}{
	fault.Internal:         {http.StatusInternalServerError, "INTERNAL_SERVER_ERROR"},
	fault.Invalid:          {http.StatusBadRequest, "VALIDATION_ERROR"},
	fault.Unauthorized:     {http.StatusUnauthorized, "UNAUTHORIZED"},
	fault.Forbidden:        {http.StatusForbidden, "FORBIDDEN"},
	fault.NotFound:         {http.StatusNotFound, "NOT_FOUND"},
	fault.MethodNotAllowed: {http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED"},
	fault.Conflict:         {http.StatusConflict, "CONFLICT"},
	fault.TooLarge:         {http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE"},
	fault.UnsupportedMedia: {http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE"},
	fault.RateLimited:      {http.StatusTooManyRequests, "RATE_LIMITED"},
	fault.Unavailable:      {http.StatusServiceUnavailable, "DEPENDENCY_UNAVAILABLE"},
}

// StatusOf returns the status of the answer to errors of this kind.
func StatusOf(kind fault.Kind) int { return answers[kind].status }

// CodeOf returns the code of the answer to errors of this kind.
func CodeOf(kind fault.Kind) string { return answers[kind].code }

type failure struct {
	Success bool `json:"success"`
	Error   struct {
		Code    string        `json:"code"`
		Message string        `json:"message"`
		Details []fault.Field `json:"details"`
	} `json:"error"`
}

// errorHandler answers err. The message of an Internal error and every cause are only
// logged, by logRequest.
func errorHandler(log *slog.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		if c.Response().Committed {
			return
		}
		f := classified(err)
		answer := answers[f.Kind]
		var body failure
		body.Error.Code = answer.code
		body.Error.Message = f.Message
		body.Error.Details = f.Fields
		if f.Kind == fault.Internal {
			body.Error.Message = "Something went wrong on our side; it is in the log under this correlation id."
		}
		header := c.Response().Header()
		if f.Kind != fault.MethodNotAllowed { // a 405 lists the methods in Allow
			header.Del(echo.HeaderAllow)
		}
		if f.Kind == fault.RateLimited || f.Kind == fault.Unavailable {
			header.Set(echo.HeaderRetryAfter, strconv.Itoa(max(1, int(math.Ceil(f.RetryAfter.Seconds())))))
		}
		text, _ := json.Marshal(body) // strings always marshal
		header.Set(echo.HeaderContentLength, strconv.Itoa(len(text)))
		answerEarly(c)
		if err := c.JSONBlob(answer.status, text); err != nil {
			log.DebugContext(c.Request().Context(), "the client disconnected before the response", "error", err)
		}
	}
}

// classified returns what the caller may know of err.
func classified(err error) *fault.Error {
	if f := fault.As(err); f != nil {
		return f
	}
	// An unclassified deadline of ours, or a client that disconnected: not the caller's
	// mistake, and worth a retry.
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fault.Unavailable.Wrap(err, "gave_up", "The request took too long and was cancelled.")
	}
	return fault.Internal.Wrap(err, "internal", "internal error")
}
