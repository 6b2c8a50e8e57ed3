package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"integration-gateway/platform/fault"
)

// firstRead is the buffer of a body before its first byte, and so the memory that a caller
// who only announces a large body can hold.
const firstRead = 16 << 10

const leaseKey = "httpapi.lease"

// lease is one request's share of the memory and slots for all requests in flight.
type lease struct {
	bodies       *budget
	requests     *semaphore.Weighted
	unpacking    *unpackQueue
	network      netip.Prefix
	shareWarning *shareWarning
	pace         *pace
	bytes        int64
	slots        int64
	unpacks      int64 // 1 while its large body is unpacked
}

func (l *lease) take(n int64) error {
	if l == nil {
		return nil
	}
	if err := l.bodies.take(l.network, l.bytes, n); err != nil {
		if fault.As(err).Reason == networkBodies {
			l.shareWarning.reached(l.network, "body bytes")
		}
		return err
	}
	l.bytes += n
	return nil
}

// enter takes a slot among the requests in progress. A request whose body is still arriving
// has none, so that slow senders block nobody.
func (l *lease) enter() error {
	if l == nil || l.slots > 0 {
		return nil
	}
	if !l.requests.TryAcquire(1) {
		return fault.Unavailable.New("requests_in_flight", "Too many requests are in progress right now.").After(time.Second)
	}
	l.slots++
	return nil
}

func (l *lease) release() {
	l.bodies.release(l.network, l.bytes)
	l.requests.Release(l.slots)
}

// withLease lets ReadBody take what it needs, and releases it when the request is over: a
// body stays in memory until its handler has returned.
func (s *Server) withLease(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		l := &lease{bodies: s.bodies, requests: s.requests, unpacking: s.unpacking, network: clientNetwork(s.clientAddr(c.Request())), shareWarning: s.crowding, pace: s.paceOf(c)}
		c.Set(leaseKey, l)
		defer l.release()
		return next(c)
	}
}

// ReadBody reads the request's body unchanged, at most limit bytes; a longer one is
// fault.TooLarge. An incomplete or slow body is fault.Invalid. It returns fault.Unavailable
// if all requests together hold too many bytes, or are too many.
func ReadBody(c echo.Context, limit int64) ([]byte, error) {
	l, _ := c.Get(leaseKey).(*lease)
	body, err := readBody(c.Request(), limit, l)
	if err != nil {
		return nil, err
	}
	return body, l.enter()
}

func readBody(r *http.Request, limit int64, l *lease) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	most := limit + 1 // one more byte than allowed detects a longer body
	if r.ContentLength >= 0 {
		most = max(r.ContentLength, 1)
	}
	var p *pace
	if l != nil {
		p = l.pace
	}
	defer p.over()
	var body []byte
	for {
		p.after(len(body))
		if len(body) == cap(body) {
			grown := min(max(firstRead, 2*int64(cap(body))), most)
			if grown == int64(cap(body)) { // all announced bytes have arrived
				return body, nil
			}
			if err := l.take(grown - int64(cap(body))); err != nil {
				return nil, err
			}
			body = append(make([]byte, 0, grown), body...)
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit:
			return nil, tooLarge(limit)
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, broken(err)
		}
	}
}

func tooLarge(limit int64) error {
	return fault.TooLarge.New("body_too_large", "The body is larger than %d bytes.", limit)
}

func broken(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fault.Invalid.Wrap(err, "body_too_slow", "The body did not arrive in time.")
	}
	return fault.Invalid.Wrap(err, "body_broken", "The body could not be read completely.")
}

// DecodeJSON reads the request's body, at most limit bytes of JSON, into dest.
func DecodeJSON(c echo.Context, limit int64, dest any) error {
	if c.Request().ContentLength == 0 {
		return emptyBody() // also without a content-type: an empty body needs none
	}
	kind, params, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	charset := params["charset"]
	if err != nil || kind != echo.MIMEApplicationJSON || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return fault.UnsupportedMedia.New("not_json", "The content-type must be application/json.")
	}
	if encoding := c.Request().Header.Get(echo.HeaderContentEncoding); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return fault.UnsupportedMedia.New("packed", "The body must not be compressed; send it without a content-encoding.")
	}
	body, err := ReadBody(c, limit)
	if err != nil {
		return err
	}
	if !utf8.Valid(body) {
		return fault.Invalid.New("malformed_json", "The body is not UTF-8.")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(dest); err != nil {
		return malformed(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fault.Invalid.New("malformed_json", "The body has data after its JSON value, at byte %d.", decoder.InputOffset())
	}
	return nil
}

// reasonEmpty is the reason of a refusal because there is no body.
const reasonEmpty = "empty_body"

func emptyBody() error {
	return fault.Invalid.New(reasonEmpty, "The body is empty; it must be a JSON object.")
}

// malformed says where a body is invalid.
func malformed(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return emptyBody()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Invalid.New("malformed_json", "The body's JSON is incomplete.")
	case errors.As(err, &syntax):
		return fault.Invalid.Wrap(err, "malformed_json", "The body is not valid JSON at byte %d.", syntax.Offset)
	case errors.As(err, &kind) && kind.Field != "":
		return Invalid([]fault.Field{{Field: kind.Field, Message: "must not be a JSON " + kind.Value}})
	case errors.As(err, &kind):
		return fault.Invalid.Wrap(err, "malformed_json", "The body must be a JSON object, not a JSON %s.", kind.Value)
	}
	return fault.Invalid.Wrap(err, "malformed_json", "The body does not fit this request.")
}
