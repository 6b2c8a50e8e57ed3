package provider

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Encoding is how a signature is written in its header.
type Encoding int

// The encodings of signatures. Hex is read in either case, as RFC 4648 section 8 allows.
const (
	Hex Encoding = iota
	Base64
)

func (e Encoding) decode(text string) ([]byte, error) {
	if e == Base64 {
		return base64.StdEncoding.Strict().DecodeString(text)
	}
	return hex.DecodeString(text)
}

func (e Encoding) encode(sum []byte) string {
	if e == Base64 {
		return base64.StdEncoding.EncodeToString(sum)
	}
	return hex.EncodeToString(sum)
}

// Signed describes where a request carries its signatures and what they cover.
type Signed struct {
	Header    string
	Prefix    string // before each signature, such as "sha256="
	Bare      bool   // the prefix is optional
	Encoding  Encoding
	Separator string // between several signatures in one header; "" if there is only one

	Over Template            // the signed message; nil for the raw body
	ID   string              // the header that {id} stands for
	Time Timestamp           // where {timestamp} is; zero if there is none
	URL  func(string) string // rewrites {url}; may be nil
}

// Timestamp is where a request says when it was signed: in one of three places.
type Timestamp struct {
	Header string // a header of its own
	Item   string // the prefix of an item in the signature's header, such as "t="
	Field  string // a member of the body
	Unit   Unit
}

// Unit is the format of a time.
type Unit int

// The units: seconds or milliseconds since 1970, RFC 3339, and whichever of these and of
// otherTimes a text is.
const (
	Seconds Unit = iota
	Milliseconds
	RFC3339
	AnyTime
)

func (u Unit) parse(text string) (time.Time, bool) {
	switch u {
	case RFC3339:
		return parseTime(text)
	case AnyTime:
		return parseAny(text)
	}
	if len(text) > maxDigits || text != strings.Trim(text, "+-") {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	if u == Milliseconds {
		return time.UnixMilli(n).UTC(), true
	}
	return time.Unix(n, 0).UTC(), true
}

// maxDigits keeps times within the range of a Duration and the calendar.
const maxDigits = 14

func (u Unit) format(at time.Time) string {
	switch u {
	case Milliseconds:
		return strconv.FormatInt(at.UnixMilli(), 10)
	case RFC3339:
		return at.UTC().Format(time.RFC3339)
	}
	return strconv.FormatInt(at.Unix(), 10)
}

// maxSignatures bounds the work that one header can cause.
const maxSignatures = 16

// envelope holds a request's signatures with their id and time.
type envelope struct {
	signatures [][]byte
	id         string
	timestamp  string
	at         time.Time
}

// open reads the envelope. It skips signatures that do not have size bytes; 0 accepts any
// size.
func (s Signed) open(req Request, size int) (envelope, error) {
	var e envelope
	value, err := credential(req.Header, s.Header)
	if err != nil {
		return e, err
	}
	items := []string{value}
	if s.Separator != "" {
		items = strings.SplitN(value, s.Separator, maxSignatures+1)
	}
	if len(items) > maxSignatures {
		return e, refuse(MalformedSignature, "%s holds more than %d items", s.Header, maxSignatures)
	}
	for _, item := range items {
		if sum := s.signature(strings.TrimSpace(item), size); sum != nil {
			e.signatures = append(e.signatures, sum)
		}
	}
	if len(e.signatures) == 0 {
		return e, refuse(MalformedSignature, "%s holds no well-formed signature", s.Header)
	}
	return e, s.openRest(req, items, &e)
}

// signature returns the item's signature, or nil.
func (s Signed) signature(item string, size int) []byte {
	text, prefixed := strings.CutPrefix(item, s.Prefix)
	if !prefixed && !s.Bare {
		return nil
	}
	sum, err := s.Encoding.decode(text)
	if err != nil || len(sum) == 0 || size != 0 && len(sum) != size {
		return nil
	}
	return sum
}

// openRest reads the id and the time.
func (s Signed) openRest(req Request, items []string, e *envelope) (err error) {
	if s.ID != "" {
		if e.id, err = credential(req.Header, s.ID); err != nil {
			return err
		}
	}
	t := s.Time
	switch {
	case t.Header != "":
		if e.timestamp, err = credential(req.Header, t.Header); err != nil {
			return err
		}
	case t.Item != "":
		if e.timestamp, err = oneItem(items, t.Item, s.Header); err != nil {
			return err
		}
	default:
		return nil
	}
	e.at, err = t.read(e.timestamp, s.Header)
	return err
}

func (t Timestamp) read(text, header string) (time.Time, error) {
	at, ok := t.Unit.parse(text)
	if !ok {
		return at, refuse(MalformedSignature, "the time of the signature, %s, cannot be read", t.place(header))
	}
	return at, nil
}

// match completes the Match of a verified request. It reads a time in the body only now: no
// body is parsed before it is verified.
func (s Signed) match(req Request, e envelope, found Match) (_ Match, err error) {
	found.SignedAt = e.at
	if s.Over.names(partID) {
		found.SignedID = e.id
	}
	if s.Time.Field != "" {
		found.SignedAt, err = s.Time.read(bodyTime(req.Body, s.Time.Field), s.Header)
	}
	return found, err
}

func (t Timestamp) place(header string) string {
	switch {
	case t.Header != "":
		return t.Header
	case t.Item != "":
		return t.Item + " in " + header
	}
	return t.Field + " in the body"
}

// oneItem returns the only item with this prefix, without the prefix.
func oneItem(items []string, prefix, header string) (string, error) {
	found, n := "", 0
	for _, item := range items {
		if text, ok := strings.CutPrefix(strings.TrimSpace(item), prefix); ok {
			found, n = text, n+1
		}
	}
	if n != 1 {
		return "", refuse(MalformedSignature, "%s holds %s %d times", header, prefix, n)
	}
	return found, nil
}

// bodyTime returns a member of the body, a number or a string.
func bodyTime(body []byte, member string) string {
	o, err := parseObject(body)
	if err != nil {
		return ""
	}
	return o.identifier(member).text
}

// seal signs with sum and writes the envelope, as the provider would.
func (s Signed) seal(req *Request, sum func(message []byte) []byte) {
	e := envelope{timestamp: s.Time.Unit.format(req.ReceivedAt)}
	if s.Time.Header != "" {
		req.Header.Set(s.Time.Header, e.timestamp)
	}
	if s.ID != "" {
		if e.id = req.Header.Get(s.ID); e.id == "" {
			e.id = "msg_" + e.timestamp
			req.Header.Set(s.ID, e.id)
		}
	}
	value := s.written(sum(s.message(*req, e)))
	if s.Time.Item != "" {
		value = s.Time.Item + e.timestamp + s.Separator + value
	}
	req.Header.Set(s.Header, value)
}

// written formats one signature for its header.
func (s Signed) written(sum []byte) string {
	if s.Bare {
		return s.Encoding.encode(sum)
	}
	return s.Prefix + s.Encoding.encode(sum)
}

// message returns the signed message.
func (s Signed) message(req Request, e envelope) []byte {
	if s.Over == nil {
		return req.Body
	}
	if s.URL != nil {
		req.URL = s.URL(req.URL)
	}
	return s.Over.fill(req, e)
}

// timed reports whether the scheme has a signed time.
func (s Signed) timed() bool { return s.Time != Timestamp{} }

// headers returns the headers that the scheme reads.
func (s Signed) headers() []string {
	var names []string
	for _, name := range []string{s.Header, s.ID, s.Time.Header} {
		if name != "" {
			names = append(names, http.CanonicalHeaderKey(name))
		}
	}
	return names
}
