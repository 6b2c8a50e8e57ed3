package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Error is an answer of the API that is none of success.
type Error struct {
	Status     int
	Code       string // of the API, such as NOT_FOUND; "" if no gateway answered
	Message    string // for people
	Fields     []Field
	RequestID  string // the correlation id, under which the gateway's log has the request
	RetryAfter time.Duration
}

// Field is a wrong field of the request.
type Field struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// IsNotFound reports whether err says that there is no such thing.
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// Unreachable says that no answer came.
type Unreachable struct {
	URL   string
	cause error
}

func (e *Unreachable) Error() string {
	if errors.Is(e.cause, context.DeadlineExceeded) {
		return "no answer in time from the gateway at " + e.URL
	}
	cause := e.cause
	var u *url.Error
	if errors.As(cause, &u) { // it repeats the method and the whole address
		cause = u.Err
	}
	return fmt.Sprintf("no answer from the gateway at %s: %s", e.URL, cause)
}

func (e *Unreachable) Unwrap() error { return e.cause }

func (c *Client) unreachable(err error) error { return &Unreachable{c.base, err} }
