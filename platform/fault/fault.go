// Package fault defines the kinds of errors. An error is classified where its meaning is
// known, and translated once: into an HTTP status by httpapi, into ack, retry or dead
// letter by the consumers.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind says who caused an error and whether a retry can help.
type Kind int

// The zero Kind is Internal on purpose: an unclassified error is our bug and must never
// reach a caller as a 4xx.
const (
	Internal Kind = iota
	Invalid
	Unauthorized
	Forbidden
	NotFound
	MethodNotAllowed
	Conflict
	TooLarge
	UnsupportedMedia
	RateLimited
	Unavailable
)

// Field is one invalid field of the caller's input, and how to correct it.
type Field struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error is a classified error.
type Error struct {
	Kind       Kind
	Reason     string // stable, lower_snake; counted and audited, not shown to the public
	Message    string // a sentence for the caller
	Fields     []Field
	RetryAfter time.Duration // RateLimited and Unavailable
	cause      error
	detail     string
}

// New makes an error of kind k.
func (k Kind) New(reason, format string, args ...any) *Error {
	return &Error{Kind: k, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Wrap classifies cause as k. The cause is only logged; callers see the message.
func (k Kind) Wrap(cause error, reason, format string, args ...any) *Error {
	e := k.New(reason, format, args...)
	e.cause = cause
	return e
}

// At names the invalid field; the message is used as its explanation.
func (e *Error) At(field string) *Error {
	e.Fields = append(e.Fields, Field{Field: field, Message: e.Message})
	return e
}

// After sets when a retry makes sense.
func (e *Error) After(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

// Because adds a detail that operators may see and callers may not, such as how far a
// timestamp is off. It appears in no answer.
func (e *Error) Because(format string, args ...any) *Error {
	e.detail = fmt.Sprintf(format, args...)
	return e
}

// Detail returns what Because added, or else the message.
func (e *Error) Detail() string {
	if e.detail == "" {
		return e.Message
	}
	return e.detail
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Message + ": " + e.cause.Error()
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.cause }

// As finds the outermost classified error in err's chain, or nil.
func As(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// KindOf returns err's kind; Internal if it is unclassified.
func KindOf(err error) Kind {
	if e := As(err); e != nil {
		return e.Kind
	}
	return Internal
}

// Is reports whether err is of kind k. A nil error is of no kind.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }
