package provider

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/strictjson"
)

//go:embed definitions/*.yaml
var shippedFiles embed.FS

// shipped compiles the definitions that come with the program, once. A mistake in one is a bug
// that the tests find first.
var shipped = sync.OnceValue(func() []Spec {
	names, err := fs.Glob(shippedFiles, "definitions/*.yaml")
	if err != nil {
		panic(err)
	}
	specs := make([]Spec, len(names))
	for i, name := range names {
		text, err := shippedFiles.ReadFile(name)
		if err != nil {
			panic(err)
		}
		if specs[i], err = FromFile(text); err != nil {
			panic(fmt.Errorf("%s: %w", name, err))
		}
		if specs[i].Name != strings.TrimSuffix(path.Base(name), ".yaml") {
			panic(name + " has another provider's name")
		}
	}
	return specs
})

// ShippedDefinition returns the file of a provider that comes with the program as a
// definition.
func ShippedDefinition(name string) ([]byte, bool) {
	if !definedName.MatchString(name) {
		return nil, false
	}
	text, err := shippedFiles.ReadFile("definitions/" + name + ".yaml")
	return text, err == nil
}

var definedName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// Named is a definition under a name: one that comes with the program, or of the
// configuration.
type Named struct {
	Name  string `json:"name" api:"required"`
	Title string `json:"title"`
	Help  string `json:"help"`
	// Docs is the provider's page about its signatures.
	Docs string `json:"docs"`
	// Checked says what the definition was checked against, or that it was not.
	Checked string   `json:"checked"`
	Steps   []string `json:"steps"`  // to set it up; <URL> stands for the webhook's address
	Secret  string   `json:"secret"` // what to enter as the integration's secret
	Caveat  string   `json:"caveat"` // what else an operator should know about the signature
	Definition
	Samples []Sample `json:"samples"`
}

// ReadNamed reads a definition from YAML or JSON. Its errors are fault.Invalid and name every
// wrong field.
func ReadNamed(text []byte) (Named, error) {
	var n Named
	var value any
	if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&value); err != nil {
		return n, fault.Invalid.New("wrong_definition", "The definition is not YAML: %s.", strings.TrimPrefix(err.Error(), "yaml: ")).At("definition")
	}
	data, err := json.Marshal(value)
	if err != nil {
		return n, fault.Invalid.New("wrong_definition", "The definition has a key that is not text.").At("definition")
	}
	return n, wrongFields(strictjson.Read(data, &n), "")
}

// Configured compiles a definition of the configuration, as JSON whose names may have lost
// their capitals. Its errors are fault.Invalid and name every wrong field, with the provider.
func Configured(name string, text []byte) (Spec, error) {
	n := Named{Name: name}
	if err := wrongFields(strictjson.ReadAnyCase(text, &n), "providers."+name); err != nil {
		return Spec{}, err
	}
	return n.Spec()
}

// wrongFields is the error of mistakes in a definition; at is before their fields.
func wrongFields(mistakes []fault.Field, at string) error {
	if len(mistakes) == 0 {
		return nil
	}
	wrong := fault.Invalid.New("wrong_definition", "The definition is wrong.")
	for _, m := range mistakes {
		field := strictjson.Join(at, m.Field)
		if m.Field == "body" { // all of it
			field = cmp.Or(at, "definition")
		}
		wrong.Fields = append(wrong.Fields, fault.Field{Field: field, Message: strings.Replace(m.Message, " of this request", "", 1)})
	}
	wrong.Message = fmt.Sprintf("%s %s.", wrong.Fields[0].Field, wrong.Fields[0].Message)
	return wrong
}

// FromFile compiles a definition of YAML or JSON. Its errors are fault.Invalid and name the
// field.
func FromFile(text []byte) (Spec, error) {
	n, err := ReadNamed(text)
	if err != nil {
		return Spec{}, err
	}
	return n.compile("")
}

// Spec checks a definition of the configuration. Its errors name the provider and the field.
func (n Named) Spec() (Spec, error) { return n.compile("providers." + n.Name) }

func (n Named) compile(at string) (Spec, error) {
	r := reading{at: at}
	if !definedName.MatchString(n.Name) {
		if at == "" {
			r.wrong("name", "A provider's name consists of at most 64 lower-case letters, digits, - and _.")
			return Spec{}, r.err
		}
		return Spec{}, fault.Invalid.New("wrong_definition", "A provider's name consists of at most 64 lower-case letters, digits, - and _.").At(at)
	}
	s, err := n.spec(n.Name, at)
	if err != nil {
		return Spec{}, err
	}
	s.Title, s.Help, s.Samples, s.Caveat, s.Checked = n.Title, n.Help, n.Samples, n.Caveat, n.Checked
	if s.Title == "" {
		s.Title = n.Name
	}
	for i, sample := range s.Samples {
		if sample.Type == "" || sample.Body == "" {
			r.wrong(fmt.Sprintf("samples[%d]", i), "A sample needs a type and a body.")
		}
	}
	s.Guide = Guide{Docs: n.Docs, Steps: n.Steps, Paste: n.Secret}
	if len(s.Guide.Steps) == 0 {
		s.Guide.Steps = []string{fmt.Sprintf("At %s, enter <URL> as the webhook's URL.", s.Title)}
	}
	if s.Guide.Paste == "" {
		s.Guide.Paste = "what the definition's scheme needs"
	}
	if r.err != nil {
		return Spec{}, r.err
	}
	return s, s.check()
}
