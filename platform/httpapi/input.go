package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/id"
	"integration-gateway/platform/strictjson"
)

const inputKey = "httpapi.input"

// defaultBodyLimit is the largest body of routes without one of their own.
const defaultBodyLimit = 16 << 10

// Sources resolves sources to their integrations.
type Sources interface {
	// IntegrationsOf returns the ids of the integrations with these sources, by source. It
	// omits unknown sources.
	IntegrationsOf(ctx context.Context, sources []string) (map[string]string, error)
}

// Checked is a body that knows its own rules.
type Checked interface {
	// Mistakes returns the fields that break a rule. It is called when every field has its type.
	Mistakes() []fault.Field
}

// input is what a request asks for, read by its route's Spec.
type input struct {
	query *Query
	path  map[string]string
	body  any // a pointer to the Spec's type
}

// withInput reads the path, query and body of a request before its handler runs. A refusal
// names all mistakes at once.
func (s *Server) withInput(route Route, h echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		in, err := readInput(c, route)
		if err != nil {
			return err
		}
		c.Set(inputKey, in)
		if source := in.query.source(); source != "" {
			if err := s.narrow(c, source); err != nil {
				return err
			}
		}
		return h(c)
	}
}

func readInput(c echo.Context, route Route) (*input, error) {
	in := &input{path: map[string]string{}}
	var wrong []fault.Field
	for _, p := range route.PathParams() {
		value := c.Param(p.Name)
		if p.Kind == KindUUID {
			if value = strings.ToLower(value); !id.Valid(value) {
				wrong = append(wrong, fault.Field{Field: p.Name, Message: "must be a UUID"})
			}
		}
		in.path[p.Name] = value
	}
	var faults []fault.Field
	in.query, faults = readQuery(c.Request().URL.RawQuery, route.Spec)
	wrong = append(wrong, faults...)
	body, err := readJSON(c, route.Spec)
	switch f := fault.As(err); {
	case err == nil:
		in.body = body
	case len(wrong) == 0:
		return nil, err
	case f != nil && f.Kind == fault.Invalid && len(f.Fields) == 0:
		wrong = append(wrong, fault.Field{Field: "body", Message: f.Message})
	case f != nil && f.Kind == fault.Invalid:
		wrong = append(wrong, f.Fields...)
	}
	if len(wrong) > 0 {
		return nil, Invalid(wrong)
	}
	return in, nil
}

// readJSON reads the body into a new value of the Spec's type. A GET's body has no meaning.
func readJSON(c echo.Context, spec Spec) (any, error) {
	method := c.Request().Method
	if method == http.MethodGet || method == http.MethodHead {
		return nil, nil //nolint:nilnil // there is none
	}
	dest := reflect.New(reflect.TypeOf(cmp.Or[any](spec.Body, struct{}{})))
	if c.Request().ContentLength == 0 && (spec.Body == nil || spec.OptionalBody) {
		return dest.Interface(), mistakesOf(dest.Interface())
	}
	var text json.RawMessage
	err := DecodeJSON(c, cmp.Or(spec.BodyLimit, defaultBodyLimit), &text)
	switch f := fault.As(err); {
	case f != nil && f.Reason == reasonEmpty && (spec.Body == nil || spec.OptionalBody):
		return dest.Interface(), mistakesOf(dest.Interface())
	case err != nil:
		return nil, err
	}
	if kind := jsonKind(text); kind != "object" {
		return nil, fault.Invalid.New("malformed_json", "The body must be a JSON object, not a JSON %s.", kind)
	}
	if wrong := strictjson.Read(text, dest.Interface()); len(wrong) > 0 {
		return nil, Invalid(wrong)
	}
	return dest.Interface(), mistakesOf(dest.Interface())
}

func jsonKind(text json.RawMessage) string {
	switch first := strings.TrimSpace(string(text))[0]; first {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

func mistakesOf(body any) error {
	if b, is := body.(Checked); is {
		if wrong := b.Mistakes(); len(wrong) > 0 {
			return Invalid(wrong)
		}
	}
	return nil
}

// narrow restricts the request to one source, within what the credential may see.
func (s *Server) narrow(c echo.Context, source string) error {
	ctx := c.Request().Context()
	scope := &Scope{}
	if SeesSource(ctx, source) {
		if s.sources == nil {
			return fault.Internal.New("no_sources", "this server resolves no sources")
		}
		ids, err := s.sources.IntegrationsOf(ctx, []string{source})
		if err != nil {
			return err
		}
		if integration, known := ids[source]; known {
			scope = &Scope{Sources: []string{source}, Integrations: []string{integration}}
		}
	}
	c.SetRequest(c.Request().WithContext(WithScope(ctx, scope)))
	return nil
}

func inputOf(c echo.Context) *input {
	in, _ := c.Get(inputKey).(*input)
	if in == nil {
		panic("httpapi: " + c.Path() + " reads its own input, by its Spec")
	}
	return in
}

// QueryOf returns the request's query.
func QueryOf(c echo.Context) *Query { return inputOf(c).query }

// BodyOf returns the request's body. T is the type in the route's Spec.
func BodyOf[T any](c echo.Context) T {
	in := inputOf(c)
	body, is := in.body.(*T)
	if !is {
		panic(fmt.Sprintf("httpapi: %s declares a body of %T", c.Path(), in.body))
	}
	return *body
}

// ID returns the path's :id, in lower case.
func ID(c echo.Context) string { return IDOf(c, "id") }

// IDOf is ID for a parameter of another name.
func IDOf(c echo.Context, name string) string {
	value, known := inputOf(c).path[name]
	if !known {
		panic("httpapi: " + c.Path() + " has no parameter " + name)
	}
	return value
}

// allowed returns the methods of the routes with this path.
func (s *Server) allowed(path string) []string {
	var methods []string
	for _, route := range s.registered {
		if matches(route.Path, path) {
			methods = append(methods, route.Method)
		}
	}
	slices.Sort(methods)
	return slices.Compact(methods)
}

// matches reports whether a path is a route's. A parameter is any text without a slash.
func matches(route, path string) bool {
	of, given := strings.Split(route, "/"), strings.Split(path, "/")
	if len(of) != len(given) {
		return false
	}
	for i, segment := range of {
		if parameter := strings.HasPrefix(segment, ":"); segment != given[i] && (!parameter || given[i] == "") {
			return false
		}
	}
	return true
}
