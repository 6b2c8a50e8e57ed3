package httpapi

import (
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

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
)

// The bounds of a page.
const (
	DefaultPageSize = 20
	MaxPageSize     = 100
	maxOffset       = 1_000_000 // rows; beyond, page by cursor
	maxText         = 4096      // bytes: providers have sent ids of 3 kB
)

// Query reads a request's query parameters and collects every mistake. Absent and
// empty parameters are the same.
type Query struct {
	values url.Values
	faults []fault.Field
}

// QueryOf starts reading c's query.
func QueryOf(c echo.Context) *Query {
	q := &Query{}
	var err error
	if q.values, err = url.ParseQuery(c.Request().URL.RawQuery); err != nil {
		q.fail("query", "is not well-formed; percent-encode its values")
	}
	return q
}

// Err is nil, or a fault.Invalid that names every parameter that is wrong.
func (q *Query) Err() error {
	if len(q.faults) == 0 {
		return nil
	}
	return Invalid(q.faults)
}

// Invalid is the error for input with these mistakes.
func Invalid(fields []fault.Field) error {
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = f.Field + " " + f.Message
		if first, _ := utf8.DecodeRuneInString(f.Message); unicode.IsUpper(first) { // a sentence of its own
			parts[i] = f.Field + ": " + f.Message
		}
		parts[i] = strings.TrimSuffix(parts[i], ".")
	}
	e := fault.Invalid.New("invalid_input", "%s.", strings.Join(parts, "; "))
	e.Fields = fields
	return e
}

func (q *Query) fail(field, format string, args ...any) {
	q.faults = append(q.faults, fault.Field{Field: field, Message: fmt.Sprintf(format, args...)})
}

// Text is the parameter's text, "" when absent.
func (q *Query) Text(name string) string {
	v := q.values.Get(name)
	if len(v) > maxText || !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
		q.fail(name, "must be text of at most %d bytes in UTF-8", maxText)
		return ""
	}
	return v
}

// Enum is one of allowed, or fallback when absent.
func (q *Query) Enum(name, fallback string, allowed ...string) string {
	v := q.values.Get(name)
	if v == "" {
		return fallback
	}
	if !slices.Contains(allowed, v) {
		q.fail(name, "must be one of %s", strings.Join(allowed, ", "))
	}
	return v
}

// Bool is true or false; false when absent.
func (q *Query) Bool(name string) bool { return q.Enum(name, "false", "true", "false") == "true" }

// UUID is an id in lower case, as ids are stored; "" when absent.
func (q *Query) UUID(name string) string {
	v := strings.ToLower(q.values.Get(name))
	if v != "" && !id.Valid(v) {
		q.fail(name, "must be a UUID")
		return ""
	}
	return v
}

// Time is an RFC 3339 time, nil when absent.
func (q *Query) Time(name string) *time.Time {
	v := q.values.Get(name)
	if v == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil || t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
		q.fail(name, "must be an RFC 3339 time such as 2026-01-31T00:00:00Z")
		return nil
	}
	t = t.UTC()
	return &t
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

// Paging is the wanted page and the order that its cursors belong to.
type Paging struct {
	database.Page
	order string
}

// Paging reads page, pageSize and cursor. order names the list's order; a cursor of
// another order is refused. "" says that this order has no cursors.
func (q *Query) Paging(order string) Paging {
	p := Paging{order: order}
	p.Size = q.integer("pageSize", DefaultPageSize, 1, MaxPageSize)
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
			q.fail("cursor", "is not one that this list gave for this order; start again without it")
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
		if _, err := time.Parse(time.RFC3339Nano, c.Value); err != nil {
			return database.Position{}, false
		}
	}
	return database.Position{Value: c.Value, ID: c.ID}, true
}
