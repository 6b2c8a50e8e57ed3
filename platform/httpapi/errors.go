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

// answers is the only table that turns failures into HTTP.
var answers = map[fault.Kind]struct {
	status int
	code   string
}{
	fault.Internal:         {http.StatusInternalServerError, "INTERNAL_SERVER_ERROR"},
	fault.Invalid:          {http.StatusBadRequest, "VALIDATION_ERROR"},
	fault.Unauthorized:     {http.StatusUnauthorized, "UNAUTHORIZED"},
	fault.Forbidden:        {http.StatusForbidden, "FORBIDDEN"},
	fault.NotFound:         {http.StatusNotFound, "NOT_FOUND"},
	fault.Conflict:         {http.StatusConflict, "CONFLICT"},
	fault.TooLarge:         {http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE"},
	fault.UnsupportedMedia: {http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE"},
	fault.RateLimited:      {http.StatusTooManyRequests, "RATE_LIMITED"},
	fault.Unavailable:      {http.StatusServiceUnavailable, "DEPENDENCY_UNAVAILABLE"},
}

type failure struct {
	Success bool `json:"success"`
	Error   struct {
		Code    string        `json:"code"`
		Message string        `json:"message"`
		Details []fault.Field `json:"details"`
	} `json:"error"`
}

// errorHandler answers err. The message of an Internal error and every cause stay in
// the log, which logRequest writes.
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
		header.Del(echo.HeaderAllow) // another method is no route here, so nothing is told about the others
		if f.Kind == fault.RateLimited || f.Kind == fault.Unavailable {
			header.Set(echo.HeaderRetryAfter, strconv.Itoa(max(1, int(math.Ceil(f.RetryAfter.Seconds())))))
		}
		text, _ := json.Marshal(body) // strings always marshal
		header.Set(echo.HeaderContentLength, strconv.Itoa(len(text)))
		answerEarly(c)
		if err := c.JSONBlob(answer.status, text); err != nil {
			log.DebugContext(c.Request().Context(), "the caller went away before the answer", "error", err)
		}
	}
}

// classified finds what the caller may know of err.
func classified(err error) *fault.Error {
	if f := fault.As(err); f != nil {
		return f
	}
	var own *echo.HTTPError
	if errors.As(err, &own) && (own.Code == http.StatusNotFound || own.Code == http.StatusMethodNotAllowed) {
		return noRoute()
	}
	// A deadline of ours that nobody classified, or a caller who left: nobody's mistake,
	// and worth another try.
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fault.Unavailable.Wrap(err, "gave_up", "The request took too long and was given up.")
	}
	return fault.Internal.Wrap(err, "internal", "internal error")
}
