package cli

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"integration-gateway/platform/client"
	"integration-gateway/platform/config"
	"integration-gateway/platform/fault"
)

// The exit codes.
const (
	exitFailed      = 1 // it started, and then failed, or did nothing of what it should
	exitUsage       = 2 // the command line or the configuration is invalid; nothing was done
	exitNotFound    = 3
	exitRefused     = 4 // the key does not suffice, or the present state forbids it
	exitUnavailable = 5 // no answer, or the gateway cannot answer now
)

// usage is an error in the command line that cobra does not detect.
type usage string

func (u usage) Error() string { return string(u) }

// codeOf returns the exit code of an error of a command that was started.
func codeOf(err error) int {
	var mistakes config.Mistakes
	var usageErr usage
	var answered *client.Error
	var unreachable *client.Unreachable
	var own *failure
	switch {
	case errors.As(err, &mistakes), errors.As(err, &usageErr):
		return exitUsage
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &unreachable):
		return exitUnavailable
	case errors.As(err, &answered):
		return codeOfStatus(answered.Status)
	}
	switch fault.KindOf(err) {
	case fault.NotFound:
		return exitNotFound
	case fault.Conflict, fault.Forbidden, fault.Unauthorized:
		return exitRefused
	case fault.Unavailable, fault.RateLimited:
		return exitUnavailable
	default:
		return exitFailed
	}
}

func codeOfStatus(status int) int {
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return exitUsage
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict:
		return exitRefused
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return exitUnavailable
	}
	return exitFailed
}

// failure is an error with its exit code.
type failure struct {
	code int
	text string
}

func (f *failure) Error() string { return f.text }

func notFound(format string, args ...any) error {
	return &failure{exitNotFound, fmt.Sprintf(format, args...)}
}

// textOf writes an error for people: each of several mistakes on its own line, and the id
// under which the gateway's log has the request, where that helps.
func textOf(err error) string {
	text := err.Error()
	var answered *client.Error
	if errors.As(err, &answered) {
		if len(answered.Fields) > 1 {
			lines := []string{fmt.Sprintf("%d mistakes:", len(answered.Fields))}
			for _, f := range answered.Fields {
				lines = append(lines, "  "+f.Field+" "+f.Message)
			}
			text = strings.Join(lines, "\n")
		}
		if answered.Status >= http.StatusInternalServerError && answered.RequestID != "" {
			text += "\n  request id " + answered.RequestID
		}
	}
	var h *hinted
	if errors.As(err, &h) {
		text += "\n  " + h.hint
	}
	return text
}
