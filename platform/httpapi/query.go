package httpapi

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// The limits of a page.
const (
	DefaultPageSize = 20
	MaxPageSize     = 100
	maxOffset       = 1_000_000 // rows; beyond, page by cursor
	maxText         = 4096      // bytes: providers have sent ids of 3 kB
)

// Query holds a request's query parameters, read by its route's Spec. Absent and empty
// parameters are the same. Its methods panic for a parameter that the Spec does not list, so
// that none can be read that the document does not name.
type Query struct {
	spec   Spec
	values url.Values
	faults []fault.Field
	times  map[string]*time.Time
	paging Paging
}

// ParseQuery reads a query by a Spec; its fault.Invalid names every mistake.
func ParseQuery(raw string, spec Spec) (*Query, error) {
	q, wrong := readQuery(raw, spec)
	if len(wrong) > 0 {
		return nil, Invalid(wrong)
	}
	return q, nil
}

func readQuery(raw string, spec Spec) (*Query, []fault.Field) {
	q := &Query{spec: spec, times: map[string]*time.Time{}}
	var err error
	if q.values, err = url.ParseQuery(raw); err != nil {
		q.fail("query", "is not well-formed; percent-encode its values")
	}
	q.refuseUnknown()
	paged := false
	for _, p := range spec.Query {
		q.check(p)
		paged = paged || p.Kind == KindCursor
	}
	if paged {
		q.paging = q.page()
	}
	return q, q.faults
}

func (q *Query) check(p Param) {
	v := q.values.Get(p.Name)
	switch {
	case v == "":
	case p.Kind == KindText || p.Kind == KindSource:
		if len(v) > cmp.Or(p.High, maxText) || !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			q.fail(p.Name, "must be text of at most %d bytes in UTF-8", cmp.Or(p.High, maxText))
		}
	case p.Kind == KindEnum || p.Kind == KindBool:
		if !slices.Contains(p.Allowed, v) {
			q.fail(p.Name, "must be one of %s", strings.Join(p.Allowed, ", "))
		}
	case p.Kind == KindUUID:
		if !id.Valid(strings.ToLower(v)) {
			q.fail(p.Name, "must be a UUID")
		}
	case p.Kind == KindTime:
		t, err := time.Parse(time.RFC3339, v)
		if t = t.UTC(); err != nil || t.Year() < 1 || t.Year() > 9999 {
			q.fail(p.Name, "must be an RFC 3339 time such as 2026-01-31T00:00:00Z")
			return
		}
		q.times[p.Name] = &t
	case p.Kind == KindInt && p.Name != "page": // its bound depends on the size
		q.integer(p.Name, 0, p.Low, p.High)
	}
}

// declared returns a parameter of one of these kinds.
func (q *Query) declared(name string, kinds ...Kind) Param {
	for _, p := range q.spec.Query {
		if p.Name == name && slices.Contains(kinds, p.Kind) {
			return p
		}
	}
	panic(fmt.Sprintf("httpapi: a handler reads %s, which its route's Spec does not list as %v", name, kinds))
}

func (q *Query) fail(field, format string, args ...any) {
	q.faults = append(q.faults, fault.Field{Field: field, Message: fmt.Sprintf(format, args...)})
}

// Given returns a parameter of any kind as it was given, "" if absent.
func (q *Query) Given(name string) string {
	for _, p := range q.spec.Query {
		if p.Name == name {
			return q.values.Get(name)
		}
	}
	panic("httpapi: a handler reads " + name + ", which its route's Spec does not list")
}

// Text returns the parameter's text, "" if absent.
func (q *Query) Text(name string) string {
	q.declared(name, KindText)
	return q.values.Get(name)
}

// Enum returns one of the allowed texts, or the default if absent.
func (q *Query) Enum(name string) string {
	return cmp.Or(q.values.Get(name), q.declared(name, KindEnum).Default)
}

// Bool returns true or false; false if absent.
func (q *Query) Bool(name string) bool {
	q.declared(name, KindBool)
	return q.values.Get(name) == "true"
}

// UUID returns an id in lower case, as ids are stored; "" if absent.
func (q *Query) UUID(name string) string {
	q.declared(name, KindUUID)
	return strings.ToLower(q.values.Get(name))
}

// Time returns a time, nil if absent.
func (q *Query) Time(name string) *time.Time {
	q.declared(name, KindTime)
	return q.times[name]
}

// Between returns the two times of the function Between.
func (q *Query) Between(name string) (from, to *time.Time) {
	return q.Time(name + "From"), q.Time(name + "To")
}

// Within reports whether a time is between the two of the function Between.
func (q *Query) Within(name string, at time.Time) bool {
	from, to := q.Between(name)
	return (from == nil || !at.Before(*from)) && (to == nil || !at.After(*to))
}

// Int returns a whole number, 0 if absent.
func (q *Query) Int(name string) int {
	q.declared(name, KindInt)
	n, _ := strconv.Atoi(q.values.Get(name))
	return n
}

// Paging returns the requested page.
func (q *Query) Paging() Paging {
	q.declared("cursor", KindCursor)
	return q.paging
}

// source returns the source that the request is restricted to, "" for none.
func (q *Query) source() string {
	for _, p := range q.spec.Query {
		if p.Kind == KindSource {
			return q.values.Get(p.Name)
		}
	}
	return ""
}

// Invalid returns the error for input with these mistakes.
func Invalid(fields []fault.Field) error {
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = f.Field + " " + f.Message
		if first, _ := utf8.DecodeRuneInString(f.Message); unicode.IsUpper(first) { // a complete sentence
			parts[i] = f.Field + ": " + f.Message
		}
		parts[i] = strings.TrimSuffix(parts[i], ".")
	}
	e := fault.Invalid.New("invalid_input", "%s.", strings.Join(parts, "; "))
	e.Fields = fields
	return e
}

func (q *Query) integer(name string, fallback, low, high int) int {
	v := q.values.Get(name)
	if v == "" {
		return fallback
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		q.fail(name, "must be a whole number from %d to %d", low, high)
		return fallback
	}
	return n
}

// Paging is the requested page and the order that its cursors belong to.
type Paging struct {
	database.Page
	order string
}

// page reads page, pageSize and cursor. A cursor of another order is refused.
func (q *Query) page() Paging {
	order := "newest"
	if q.spec.Order != nil {
		order = q.spec.Order(q)
	}
	p := Paging{order: order}
	p.Size = max(1, q.Int("pageSize"))
	if q.values.Get("pageSize") == "" || p.Size > MaxPageSize {
		p.Size = DefaultPageSize
	}
	p.Number = q.integer("page", 1, 1, maxOffset/p.Size)
	cursor := q.values.Get("cursor")
	switch {
	case cursor == "":
	case q.values.Get("page") != "":
		q.fail("cursor", "cannot be combined with page")
	case order == "":
		q.fail("cursor", "cannot be used with this sortBy; use page")
	default:
		after, ok := parseCursor(cursor, order)
		if !ok {
			q.fail("cursor", "does not belong to this list and order; start again without it")
			break
		}
		p.After = &after
	}
	return p
}

type cursor struct {
	Order string `json:"o"`
	Value string `json:"v"`
	ID    string `json:"i"`
}

func (p Paging) cursor(at database.Position) string {
	text, _ := json.Marshal(cursor{Order: p.order, Value: at.Value, ID: at.ID})
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseCursor(text, order string) (database.Position, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return database.Position{}, false
	}
	var c cursor
	if json.Unmarshal(raw, &c) != nil || c.Order != order || !id.Valid(c.ID) {
		return database.Position{}, false
	}
	if c.Value != "" {
		// Only the format that we produce: PostgreSQL refuses offsets that Go accepts.
		at, err := time.Parse(time.RFC3339Nano, c.Value)
		if err != nil || database.TimeValue(at) != c.Value || at.Year() < 1 {
			return database.Position{}, false
		}
	}
	return database.Position{Value: c.Value, ID: c.ID}, true
}

// CheckText returns a violation unless text has low to high characters, none of them NUL, which
// not every database keeps.
func CheckText(field, text string, low, high int) []fault.Field {
	if n := utf8.RuneCountInString(text); n < low || n > high || strings.ContainsRune(text, 0) || !utf8.ValidString(text) {
		return []fault.Field{{Field: field, Message: fmt.Sprintf("must be text of %d to %d characters, none of them NUL", low, high)}}
	}
	return nil
}

// Printable reports whether text is one line that can be shown anywhere and looks like what
// it is: without characters that cannot be seen or that turn the direction of writing.
func Printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
	})
}
