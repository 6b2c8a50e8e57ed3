package provider

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Signed describes where a request carries its signatures and what they cover.
type Signed struct {
	Header    string
	At        []spot // where the signatures are, in place of Header; one of them must match
	Prefix    string // before each signature, such as "sha256="
	Bare      bool   // the prefix is optional
	After     string // a signature is what follows the last of this: "|" in key|signature
	Encoding  Encoding
	Separator string // between several signatures in one header; "" if there is only one

	Over  Template            // the signed message; nil for the raw body
	ID    string              // the header that {id} stands for
	Nonce *spot               // where a value is that is good for one request; nil for none
	Time  Timestamp           // where {timestamp} is; zero if there is none
	URL   func(string) string // rewrites {url}; may be nil
}

// Timestamp is where a request says when it was signed: in one of three places.
type Timestamp struct {
	Header string // a header of its own
	Item   string // the prefix of an item in the signature's header, such as "t="
	At     *spot  // another place; one in a signed body is read after it is verified
	Unit   Unit
}

// maxSignatures bounds the work that one header can cause.
const maxSignatures = 16

// envelope holds a request's signatures with their id and time.
type envelope struct {
	signatures [][]byte
	id         string
	timestamp  string
	at         time.Time
	values     []string // of the places that Over names
	form       []byte   // as Over names it
}

// open reads the envelope. It skips signatures that do not have size bytes; 0 accepts any
// size.
func (s Signed) open(req Request, size int) (envelope, error) {
	var e envelope
	items, err := s.items(req)
	if err != nil {
		return e, err
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

// items returns what may be a signature.
func (s Signed) items(req Request) ([]string, error) {
	if s.At == nil {
		value, err := credential(req.Header, s.Header)
		if err != nil {
			return nil, err
		}
		if s.Separator == "" {
			return []string{value}, nil
		}
		return strings.SplitN(value, s.Separator, maxSignatures+1), nil
	}
	values, err := readFirst(req, s.At)
	if err != nil || s.Separator == "" {
		return values, err
	}
	var items []string
	for _, value := range values {
		items = append(items, strings.SplitN(value, s.Separator, maxSignatures+1)...)
	}
	return items, nil
}

// signature returns the item's signature, or nil.
func (s Signed) signature(item string, size int) []byte {
	text, prefixed := strings.CutPrefix(item, s.Prefix)
	if !prefixed && !s.Bare {
		return nil
	}
	if s.After != "" {
		at := strings.LastIndex(text, s.After)
		if at < 0 {
			return nil
		}
		text = text[at+len(s.After):]
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
	if e.values, err = s.Over.values(req); err != nil {
		return err
	}
	if s.Over.names(partForm) {
		if e.form, err = sortedForm(req); err != nil {
			return err
		}
	}
	t := s.Time
	switch {
	case t.At != nil && !s.late():
		if e.timestamp, err = t.At.read(req); err != nil {
			return err
		}
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
	if s.late() {
		text, _ := peek(req.Body, s.Time.At.path) // "" cannot be read
		found.SignedAt, err = s.Time.read(text, s.Header)
	}
	if s.Nonce != nil && err == nil {
		found.Nonce = true
		found.SingleUse, err = s.Nonce.read(req)
	}
	return found, err
}

// late reports whether the time is in the signed body.
func (s Signed) late() bool {
	return s.Time.At != nil && s.Time.At.kind == inBody && !s.Over.names(partTimestamp)
}

func (t Timestamp) place(header string) string {
	switch {
	case t.Header != "":
		return t.Header
	case t.Item != "":
		return t.Item + " in " + header
	}
	return t.At.String()
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
	if s.Time.At != nil && s.Time.At.kind != inBody && s.Time.At.kind != inForm {
		s.Time.At.write(req, e.timestamp)
	}
	e.values, _ = s.Over.values(*req)
	if len(e.values) < len(s.Over.spots()) { // a sample without them is the tests' mistake
		e.values = make([]string, len(s.Over.spots()))
	}
	e.form, _ = sortedForm(*req)
	value := s.written(sum(s.message(*req, e)))
	if s.Time.Item != "" {
		value = s.Time.Item + e.timestamp + s.Separator + value
	}
	if s.At != nil {
		s.At[0].write(req, value)
		return
	}
	req.Header.Set(s.Header, value)
}

// written formats one signature for its header.
func (s Signed) written(sum []byte) string {
	if s.Bare {
		return s.Encoding.encode(sum)
	}
	if s.After != "" {
		return s.Prefix + "key" + s.After + s.Encoding.encode(sum)
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
	spots := append(slices.Clone(s.At), s.Over.spots()...)
	if s.Time.At != nil {
		spots = append(spots, *s.Time.At)
	}
	if s.Nonce != nil {
		spots = append(spots, *s.Nonce)
	}
	for _, name := range headerSpots(spots) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
