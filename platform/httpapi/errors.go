package httpapi

import (
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

// errorHandler answers err, and logs what is ours. The message of an Internal error
// and every cause stay in the log.
func errorHandler(log *slog.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		if c.Response().Committed {
			return
		}
		f := classified(err)
		answer := answers[f.Kind]
		ctx := c.Request().Context()
		if answer.status >= http.StatusInternalServerError {
			log.ErrorContext(ctx, "request failed", "method", c.Request().Method, "route", c.Path(), "status", answer.status, "error", err)
		}
		var body failure
		body.Error.Code = answer.code
		body.Error.Message = f.Message
		body.Error.Details = f.Fields
		if f.Kind == fault.Internal {
			body.Error.Message = "Something went wrong on our side; it is in the log under this correlation id."
		}
		if f.Kind == fault.RateLimited || f.Kind == fault.Unavailable {
			c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(max(1, int(math.Ceil(f.RetryAfter.Seconds())))))
		}
		if err := c.JSON(answer.status, body); err != nil {
			log.DebugContext(ctx, "the caller went away before the answer", "error", err)
		}
	}
}

// classified finds what the caller may know of err.
func classified(err error) *fault.Error {
	if f := fault.As(err); f != nil {
		return f
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return fault.TooLarge.New("body_too_large", "The body is larger than %d bytes.", tooLarge.Limit)
	}
	var own *echo.HTTPError
	if errors.As(err, &own) && (own.Code == http.StatusNotFound || own.Code == http.StatusMethodNotAllowed) {
		return fault.NotFound.New("no_route", "There is no such route.")
	}
	return fault.Internal.Wrap(err, "internal", "internal error")
}
