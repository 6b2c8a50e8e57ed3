package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/strictjson"
)

// firstRead is what a body is given before it has shown a single byte, and so what
// a caller who only announces a large one can hold of our memory.
const firstRead = 16 << 10

const leaseKey = "httpapi.lease"

// lease is what one request holds of what all together may have in flight.
type lease struct {
	bodies, requests *semaphore.Weighted
	bytes, places    int64
}

func (l *lease) take(n int64) error {
	if l == nil {
		return nil
	}
	if !l.bodies.TryAcquire(n) {
		return fault.Unavailable.New("bodies_in_flight", "Too many bytes are being received at the moment.").After(time.Second)
	}
	l.bytes += n
	return nil
}

// enter takes a place among the requests that are worked on. One whose body is still
// on its way has none, so that slow senders keep nobody out.
func (l *lease) enter() error {
	if l == nil || l.places > 0 {
		return nil
	}
	if !l.requests.TryAcquire(1) {
		return fault.Unavailable.New("requests_in_flight", "Too many requests are being worked on at the moment.").After(time.Second)
	}
	l.places++
	return nil
}

func (l *lease) giveBack() {
	l.bodies.Release(l.bytes)
	l.requests.Release(l.places)
}

// lendBodies lets ReadBody take what it needs, and gives back when the request is
// over: a body stays in memory until its handler has returned.
func (s *Server) lendBodies(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		l := &lease{bodies: s.bodies, requests: s.requests}
		c.Set(leaseKey, l)
		defer l.giveBack()
		return next(c)
	}
}

// ReadBody reads the request's body, byte for byte. A body of limit bytes is read, one
// more is fault.TooLarge; one that breaks off or comes too slowly is fault.Invalid; and
// fault.Unavailable when all requests together hold too much, or are too many.
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
	most := limit + 1 // one byte more than is allowed shows that there is more
	if r.ContentLength >= 0 {
		most = max(r.ContentLength, 1)
	}
	var body []byte
	for {
		if len(body) == cap(body) {
			grown := min(max(firstRead, 2*int64(cap(body))), most)
			if grown == int64(cap(body)) { // all that was announced has come
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
		case err != nil && errors.As(err, new(*http.MaxBytesError)):
			return nil, tooLarge(limit) // a packed body
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
	return fault.Invalid.Wrap(err, "body_broken", "The body could not be read to its end.")
}

// DecodeJSON reads the request's body, at most limit bytes of JSON, into dest. Fields that
// dest does not have are passed over: a client may be written for more than we know.
func DecodeJSON(c echo.Context, limit int64, dest any) error {
	return decode(c, limit, dest, func(*json.Decoder) {})
}

// DecodeKnownJSON is DecodeJSON where a field that dest does not have is a mistake: in a
// filter, a name that is mistyped would mean everything.
func DecodeKnownJSON(c echo.Context, limit int64, dest any) error {
	return decode(c, limit, dest, (*json.Decoder).DisallowUnknownFields)
}

// DecodeStrictJSON reads the request's body, at most limit bytes of JSON, into the struct
// that dest points to. Its fault.Invalid names every field that is wrong or that dest does
// not have, by its path.
func DecodeStrictJSON(c echo.Context, limit int64, dest any) error {
	var text json.RawMessage
	if err := DecodeJSON(c, limit, &text); err != nil {
		return err
	}
	if wrong := strictjson.Read(text, dest); len(wrong) > 0 {
		return Invalid(wrong)
	}
	return nil
}

func decode(c echo.Context, limit int64, dest any, prepare func(*json.Decoder)) error {
	if c.Request().ContentLength == 0 {
		return emptyBody() // also without a content-type: there is no content to have one
	}
	kind, params, err := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType))
	charset := params["charset"]
	if err != nil || kind != echo.MIMEApplicationJSON || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return fault.UnsupportedMedia.New("not_json", "The content-type must be application/json.")
	}
	if encoding := c.Request().Header.Get(echo.HeaderContentEncoding); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return fault.UnsupportedMedia.New("packed", "The body must not be packed; send it without a content-encoding.")
	}
	body, err := ReadBody(c, limit)
	if err != nil {
		return err
	}
	if !utf8.Valid(body) {
		return fault.Invalid.New("malformed_json", "The body is not UTF-8.")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	prepare(decoder)
	if err := decoder.Decode(dest); err != nil {
		return malformed(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fault.Invalid.New("malformed_json", "The body goes on after its JSON value, at byte %d.", decoder.InputOffset())
	}
	return nil
}

func emptyBody() error {
	return fault.Invalid.New("empty_body", "The body is empty; it must be a JSON object.")
}

// malformed says where a body is wrong, in the caller's terms.
func malformed(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return emptyBody()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Invalid.New("malformed_json", "The body is JSON that ends too early.")
	case errors.As(err, &syntax):
		return fault.Invalid.Wrap(err, "malformed_json", "The body is not JSON at byte %d.", syntax.Offset)
	case errors.As(err, &kind) && kind.Field != "":
		return Invalid([]fault.Field{{Field: kind.Field, Message: "must not be a JSON " + kind.Value}})
	case errors.As(err, &kind):
		return fault.Invalid.Wrap(err, "malformed_json", "The body must be a JSON object, not a JSON %s.", kind.Value)
	}
	if _, field, unknown := strings.Cut(err.Error(), "unknown field "); unknown {
		if name := strings.Trim(field, `"`); name != "" {
			field = name
		}
		return Invalid([]fault.Field{{Field: field, Message: "is not a field of this request"}})
	}
	return fault.Invalid.Wrap(err, "malformed_json", "The body does not fit this request.")
}
