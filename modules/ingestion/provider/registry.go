package provider

import (
	"fmt"
	"maps"
	"slices"

	"integration-gateway/platform/fault"
)

// builtin are the makers of the specs that come with the gateway; each provider's file
// adds its own.
var builtin []func() Spec

func register(spec func() Spec) bool {
	builtin = append(builtin, spec)
	return true
}

// Registry is the providers of this program, by name.
type Registry struct{ specs map[string]Spec }

// Builtin are the providers that come with the gateway.
func Builtin() Registry {
	var specs []Spec
	for _, spec := range builtin {
		specs = append(specs, spec())
	}
	r, err := NewRegistry(specs...)
	if err != nil {
		panic(err) // a mistake in one of the files; the tests meet it first
	}
	return r
}

// NewRegistry collects specs and refuses, with a sentence, those that cannot work.
func NewRegistry(specs ...Spec) (Registry, error) {
	return Registry{specs: map[string]Spec{}}.With(specs...)
}

// With is the registry with more specs.
func (r Registry) With(specs ...Spec) (Registry, error) {
	all := maps.Clone(r.specs)
	for _, s := range specs {
		s = s.complete()
		if err := s.check(); err != nil {
			return Registry{}, err
		}
		if _, taken := all[s.Name]; taken {
			return Registry{}, fmt.Errorf("two providers are named %q; a name belongs to one", s.Name)
		}
		all[s.Name] = s
	}
	return Registry{all}, nil
}

// Spec finds a provider by its name.
func (r Registry) Spec(name string) (Spec, bool) {
	s, ok := r.specs[name]
	return s, ok
}

// Names lists the providers in alphabetical order.
func (r Registry) Names() []string { return slices.Sorted(maps.Keys(r.specs)) }

// Specs lists the providers in the order of their names.
func (r Registry) Specs() []Spec {
	var specs []Spec
	for _, name := range r.Names() {
		specs = append(specs, r.specs[name])
	}
	return specs
}

// unknownProvider is the answer to a name that is none.
func unknownProvider(name string) error {
	return fault.Invalid.New("unknown_provider", "There is no provider %s.", name).At("provider")
}
