package httpapi

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"integration-gateway/platform/fault"
)

// Spec describes a route's input and answers. Input is read by it, and the API's document is
// made from it, so that they cannot differ.
type Spec struct {
	Summary string
	// Query lists the parameters. All others are refused.
	Query []Param
	// Order names the order of a paged list, to which its cursors belong; "" if that order has
	// no cursors. A nil Order means "newest".
	Order func(*Query) string
	// Body is a zero value of the JSON body's type; BodyOf returns the body. Without one, only
	// an empty body or object is accepted. A body with the method Mistakes is checked by it.
	Body any
	// BodyName is the body type's name in the document.
	BodyName string
	// OptionalBody says that the body may be absent, which is the same as {}.
	OptionalBody bool
	// BodyLimit is the largest body in bytes; 0 for 16 KiB.
	BodyLimit int64
	// Answers are the successful ones.
	Answers []Answer
	// Names are the names in the document of types within the answers, by a zero value of each.
	Names map[string]any
	// Errors are those besides the ones that follow from the role and the input.
	Errors []fault.Kind
	// Raw says that the route reads its own input, as a provider or a probe sends it: nothing is
	// refused as unknown. Example is then an example of its body.
	Raw bool
	// OwnAnswers says that a provider may expect an answer of its own, which has no field success.
	OwnAnswers bool
	// Stream says that the answer is a Stream of server-sent events, without a deadline.
	Stream bool
	// Media is the content type of answers that are not in the API's envelope.
	Media string
	// Example is an example of the request's body, as JSON; by default it follows from the type.
	Example string
}

// Answer is a successful answer.
type Answer struct {
	Status int
	Name   string // of the type in the document; "" for the Go type's
	Data   reflect.Type
	Shape  Shape
	When   string
}

// Shape is what an answer's data holds.
type Shape int

// The shapes of answers.
const (
	One   Shape = iota // a single value
	Whole              // a list that is returned completely
	Page               // a page of a list
	Empty              // no body
	Other              // not in the API's envelope
)

// Returns is the answer with one value of data's type.
func Returns(status int, name string, data any) Answer {
	return Answer{Status: status, Name: name, Data: reflect.TypeOf(data)}
}

// ReturnsAll is the answer with a whole list of item's type.
func ReturnsAll(name string, item any) Answer {
	return Answer{Status: http.StatusOK, Name: name, Data: reflect.TypeOf(item), Shape: Whole}
}

// ReturnsPage is the answer with a page of a list of item's type.
func ReturnsPage(name string, item any) Answer {
	return Answer{Status: http.StatusOK, Name: name, Data: reflect.TypeOf(item), Shape: Page}
}

// If says when an answer is given.
func (a Answer) If(when string) Answer {
	a.When = when
	return a
}

// Kind is what a parameter holds.
type Kind string

// The kinds of parameters.
const (
	KindText   Kind = "text"
	KindEnum   Kind = "enum"
	KindBool   Kind = "boolean"
	KindUUID   Kind = "uuid"
	KindTime   Kind = "time"
	KindInt    Kind = "integer"
	KindCursor Kind = "cursor"
	KindSource Kind = "source"
)

// Param is a parameter of a query or path.
type Param struct {
	Name, Doc string
	Kind      Kind
	Allowed   []string // of an enum
	Default   string
	Low, High int // of an integer, both included; High is a text's most bytes, 0 for 4096
}

// TextParam is a text of at most 4096 bytes.
func TextParam(name, doc string) Param { return Param{Name: name, Doc: doc, Kind: KindText} }

// EnumParam is one of the allowed texts.
func EnumParam(name, doc string, allowed ...string) Param {
	return Param{Name: name, Doc: doc, Kind: KindEnum, Allowed: allowed}
}

// Or sets the value of an absent parameter.
func (p Param) Or(fallback string) Param {
	p.Default = fallback
	return p
}

// BoolParam is true or false; false if absent.
func BoolParam(name, doc string) Param {
	return Param{Name: name, Doc: doc, Kind: KindBool, Allowed: []string{"true", "false"}, Default: "false"}
}

// UUIDParam is an id.
func UUIDParam(name, doc string) Param { return Param{Name: name, Doc: doc, Kind: KindUUID} }

// TimeParam is an RFC 3339 time.
func TimeParam(name, doc string) Param { return Param{Name: name, Doc: doc, Kind: KindTime} }

// IntParam is a whole number from low to high; 0 if absent, which must not be in the range.
func IntParam(name, doc string, low, high int) Param {
	return Param{Name: name, Doc: doc, Kind: KindInt, Low: low, High: high}
}

// SourceParam restricts the request to one source, as a credential may be restricted: the
// handler sees it in ScopeOf. The module needs no filter of its own.
func SourceParam() Param {
	return Param{Name: "source", Doc: "only records of this source", Kind: KindSource}
}

// Between are two parameters, such as createdFrom and createdTo, that bound a time.
func Between(name string) []Param {
	return []Param{
		TimeParam(name+"From", "at or after this `"+name+"At`"),
		TimeParam(name+"To", "at or before this `"+name+"At`"),
	}
}

// PagedQuery adds the parameters of a paged list to a list's filters.
func PagedQuery(filters ...Param) []Param {
	return append(filters,
		Param{Name: "page", Doc: "the page's number, from 1; one million rows at most can be skipped", Kind: KindInt, Low: 1, High: maxOffset, Default: "1"},
		Param{Name: "pageSize", Doc: "rows of a page", Kind: KindInt, Low: 1, High: MaxPageSize, Default: fmt.Sprint(DefaultPageSize)},
		Param{Name: "cursor", Doc: "`nextCursor` of the answer before, in place of `page`", Kind: KindCursor})
}

// pathParams returns the parameters in a path. Those that end in "id" are ids.
func pathParams(path string) []Param {
	var list []Param
	for segment := range strings.SplitSeq(path, "/") {
		name, is := strings.CutPrefix(segment, ":")
		switch {
		case !is:
		case name == "id" || strings.HasSuffix(name, "Id"):
			list = append(list, UUIDParam(name, ""))
		default:
			list = append(list, TextParam(name, ""))
		}
	}
	return list
}
