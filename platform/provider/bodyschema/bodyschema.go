// Package bodyschema checks events against JSON Schemas (draft 2020-12) that operators write. A schema
// is compiled once; it reads nothing from elsewhere. A check is bounded whatever the schema and the body
// are: it counts its steps and gives up.
package bodyschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"integration-gateway/platform/provider/jsontext"
)

// The bounds of a schema and of a check.
const (
	MaxBytes      = 64 << 10
	maxSchemas    = 2000 // within one
	maxDepth      = 64
	maxPatterns   = 32
	maxPattern    = 200  // characters
	maxProgram    = 2000 // instructions of a compiled pattern
	maxNumber     = 40   // characters of a number
	maxExponent   = 400
	maxSteps      = 100_000 // of all checks of a webhook
	location      = "gateway:schema"
	draft         = "https://json-schema.org/draft/2020-12/schema"
	TooExpensive  = "the check takes too many steps"
	outOfRange    = "a number is out of range"
	notJSON       = "it is not JSON"
	tooDeep       = "it nests too deep to be checked"
	schemaKeyword = "$schema"
)

// Mistake is what is wrong with a schema, and where in it, as a JSON pointer.
type Mistake struct{ At, Message string }

func (m *Mistake) Error() string {
	if m.At == "" {
		return m.Message
	}
	return fmt.Sprintf("At %s: %s", m.At, m.Message)
}

func mistake(at, format string, args ...any) error {
	return &Mistake{At: at, Message: fmt.Sprintf(format, args...)}
}

// Schema is a compiled schema. Its checks wait for each other.
type Schema struct {
	mu       sync.Mutex
	compiled *jsonschema.Schema
	meter    *meter
}

// Steps are what the checks of one webhook may still take.
type Steps struct{ left int }

// NewSteps returns the steps of a webhook's checks.
func NewSteps() *Steps { return &Steps{left: maxSteps} }

// meter counts the steps of the current check.
type meter struct{ steps *Steps }

// exhausted ends a check that took too many steps.
type exhausted struct{}

func (m *meter) take(n int) {
	if m.steps == nil {
		return // while the schema is compiled
	}
	if m.steps.left -= n; m.steps.left < 0 {
		panic(exhausted{})
	}
}

// Mismatch is the first place that does not fit a schema.
type Mismatch struct {
	At      string // a path in the value
	Keyword string // of the schema that it breaks, or why it could not be checked
}

// Compile compiles a schema. Its errors are Mistakes.
func Compile(text []byte) (*Schema, error) {
	if len(text) > MaxBytes {
		return nil, mistake("", "It has %d bytes and may have %d.", len(text), MaxBytes)
	}
	if jsontext.DeeperThan(text, maxDepth) {
		return nil, mistake("", "It nests deeper than %d levels.", maxDepth)
	}
	if path, found := jsontext.Repeated(text); found {
		return nil, mistake("", "It has a member twice, %s.", path)
	}
	document, err := decode(text)
	if err != nil {
		return nil, mistake("", "It is not JSON: %s.", err)
	}
	m := &meter{}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.UseLoader(nothing{})
	compiler.UseRegexpEngine(m.pattern)
	compiler.AssertFormat()
	w := &walk{meter: m, compiler: compiler, known: map[string]bool{}}
	if err := w.root(document); err != nil {
		return nil, err
	}
	if err := compiler.AddResource(location, document); err != nil {
		return nil, mistake("", "%s.", err)
	}
	compiled, err := compiler.Compile(location)
	if err != nil {
		return nil, compileMistake(err)
	}
	return &Schema{compiled: compiled, meter: m}, nil
}

// nothing loads nothing.
type nothing struct{}

func (nothing) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is elsewhere, and nothing is read from there", url)
}

// compileMistake shortens what the library says.
func compileMistake(err error) error {
	var wrong *jsonschema.SchemaValidationError
	if errors.As(err, &wrong) {
		var detail *jsonschema.ValidationError
		if errors.As(wrong.Err, &detail) {
			first := deepest(detail)
			return mistake(pointer(first.InstanceLocation), "%s is not as JSON Schema has it.", orAll(lastOf(first.ErrorKind.KeywordPath())))
		}
	}
	return mistake("", "%s.", strings.ReplaceAll(err.Error(), location, ""))
}

func orAll(keyword string) string {
	if keyword == "" {
		return "the schema"
	}
	return "its " + keyword
}

func pointer(steps []string) string {
	var b strings.Builder
	for _, s := range steps {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(s))
	}
	return b.String()
}

func decode(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return v, nil
}

// Check returns the first place of a JSON value that does not fit; nil if it fits. What cannot be
// checked within the steps does not fit.
func (s *Schema) Check(value []byte, steps *Steps) (found *Mismatch) {
	if steps.left < 0 {
		return &Mismatch{At: "$", Keyword: TooExpensive}
	}
	if jsontext.DeeperThan(value, maxDepth) {
		return &Mismatch{At: "$", Keyword: tooDeep} // the places of mismatches would take too much memory
	}
	v, err := decode(value)
	if err != nil {
		return &Mismatch{At: "$", Keyword: notJSON}
	}
	if at, wild := wildNumber(v, "$"); wild {
		return &Mismatch{At: at, Keyword: outOfRange}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meter.steps = steps
	defer func() {
		s.meter.steps = nil
		if failure := recover(); failure != nil {
			if _, is := failure.(exhausted); !is {
				panic(failure)
			}
			found = &Mismatch{At: "$", Keyword: TooExpensive}
		}
	}()
	var wrong *jsonschema.ValidationError
	if !errors.As(s.compiled.Validate(v), &wrong) {
		return nil
	}
	first := deepest(wrong)
	return &Mismatch{At: pathOf(v, first.InstanceLocation), Keyword: lastOf(first.ErrorKind.KeywordPath())}
}

// deepest follows the first causes.
func deepest(e *jsonschema.ValidationError) *jsonschema.ValidationError {
	for len(e.Causes) > 0 {
		e = e.Causes[0]
	}
	return e
}

func lastOf(keywords []string) string {
	if len(keywords) == 0 {
		return "false"
	}
	return keywords[0]
}

// maxShown bounds a path that is shown, in bytes.
const maxShown = 200

// pathOf is a JSON path to a place in v.
func pathOf(v any, steps []string) string {
	path := []byte("$")
	for _, step := range steps {
		switch one := v.(type) {
		case []any:
			path = append(append(append(path, '['), step...), ']')
			if n, err := strconv.Atoi(step); err == nil && n >= 0 && n < len(one) {
				v = one[n]
			}
		case map[string]any:
			path, v = jsontext.AppendName(path, []byte(step)), one[step]
		}
		if len(path) > maxShown {
			return string(bytes.ToValidUTF8(path[:maxShown], nil)) + "…"
		}
	}
	return string(path)
}

// wildNumber finds a number that takes long to compute with.
func wildNumber(v any, at string) (string, bool) {
	switch one := v.(type) {
	case json.Number:
		return at, wild(string(one))
	case []any:
		for i, item := range one {
			if where, found := wildNumber(item, ""); found {
				return short(fmt.Sprintf("%s[%d]%s", at, i, where)), true
			}
		}
	case map[string]any:
		for name, value := range one {
			if where, found := wildNumber(value, ""); found {
				return short(string(jsontext.AppendName([]byte(at), []byte(name))) + where), true
			}
		}
	}
	return "", false
}

func short(path string) string {
	if len(path) > maxShown {
		return strings.ToValidUTF8(path[:maxShown], "") + "…"
	}
	return path
}

func wild(number string) bool {
	if len(number) > maxNumber {
		return true
	}
	_, exponent, found := strings.Cut(strings.ToLower(number), "e")
	if !found {
		return false
	}
	n, err := strconv.Atoi(exponent)
	return err != nil || n > maxExponent || n < -maxExponent
}
