// Package described compares requests and answers with an OpenAPI document. It is apart from
// testkit, and depends on nothing of this repository, because its library takes long to compile.
package described

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	validation "github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/helpers"
)

// Document is an OpenAPI document.
type Document struct {
	self    func() []Mistake
	request func(r *http.Request) []Mistake
	answer  func(r *http.Request, answer *http.Response) []Mistake
}

// Mistake is a difference between what was sent and what is described.
type Mistake struct {
	OfPath bool // the document does not know the path
	Text   string
}

// Open reads an OpenAPI document.
func Open(text []byte) (*Document, error) {
	document, err := libopenapi.NewDocument(text)
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(document, config.WithFormatAssertions())
	return &Document{
		self: func() []Mistake {
			_, wrong := v.ValidateDocument()
			return mistakes(wrong)
		},
		request: func(r *http.Request) []Mistake {
			_, wrong := v.ValidateHttpRequestSync(r)
			return mistakes(wrong)
		},
		answer: func(r *http.Request, answer *http.Response) []Mistake {
			_, wrong := v.ValidateHttpResponse(r, answer)
			return mistakes(wrong)
		},
	}, errors.Join(errs...)
}

// Self returns how the document differs from what an OpenAPI document must be.
func (d *Document) Self() []Mistake { return d.self() }

// Request returns how a request differs from the document. It reads the body.
func (d *Document) Request(r *http.Request) []Mistake { return d.request(r) }

// Answer returns how the answer to a request differs from the document. It reads both bodies.
func (d *Document) Answer(r *http.Request, answer *http.Response) []Mistake {
	return d.answer(r, answer)
}

func mistakes(wrong []*validation.ValidationError) []Mistake {
	list := make([]Mistake, len(wrong))
	for i, w := range wrong {
		var b strings.Builder
		fmt.Fprintf(&b, "\n  %s: %s", w.Message, w.Reason)
		for _, s := range w.SchemaValidationErrors {
			fmt.Fprintf(&b, "\n    %s: %s", s.FieldPath, s.Reason)
		}
		list[i] = Mistake{w.ValidationType == helpers.PathValidation, b.String()}
	}
	return list
}
