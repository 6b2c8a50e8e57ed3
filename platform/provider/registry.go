package provider

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"integration-gateway/platform/fault"
)

// builtin holds the constructors of the built-in specs. Each provider's file adds its own.
var builtin []func() Spec

func register(spec func() Spec) bool {
	builtin = append(builtin, spec)
	return true
}

// Registry holds the providers by name. Copies share their contents, also after Replace.
type Registry struct {
	specs *atomic.Pointer[map[string]Spec]
}

func newRegistry(specs map[string]Spec) Registry {
	r := Registry{new(atomic.Pointer[map[string]Spec])}
	r.specs.Store(&specs)
	return r
}

// all returns the shared map, which must not be changed.
func (r Registry) all() map[string]Spec {
	if r.specs == nil {
		return nil
	}
	return *r.specs.Load()
}

// Edition returns a different value after each Replace.
func (r Registry) Edition() any {
	if r.specs == nil {
		return nil
	}
	return r.specs.Load()
}

// Replace replaces the registry's providers with the other's.
func (r Registry) Replace(other Registry) {
	specs := other.all()
	r.specs.Store(&specs)
}

// Builtin returns the built-in providers.
func Builtin() Registry {
	var specs []Spec
	for _, spec := range builtin {
		specs = append(specs, spec())
	}
	specs = append(specs, shipped()...)
	r, err := NewRegistry(specs...)
	if err != nil {
		panic(err) // a bug in one of the files; the tests find it first
	}
	return r
}

// NewRegistry returns a registry of specs, or an error if one is invalid.
func NewRegistry(specs ...Spec) (Registry, error) {
	return newRegistry(map[string]Spec{}).With(specs...)
}

// With returns a registry with additional specs.
func (r Registry) With(specs ...Spec) (Registry, error) {
	all := maps.Clone(r.all())
	for _, s := range specs {
		s = s.complete()
		if err := s.check(); err != nil {
			return Registry{}, err
		}
		if _, taken := all[s.Name]; taken {
			return Registry{}, fmt.Errorf("two providers are named %q; names must be unique", s.Name)
		}
		all[s.Name] = s
	}
	return newRegistry(all), nil
}

// Spec finds a provider by its name.
func (r Registry) Spec(name string) (Spec, bool) {
	s, ok := r.all()[name]
	return s, ok
}

// Names lists the providers in alphabetical order.
func (r Registry) Names() []string { return slices.Sorted(maps.Keys(r.all())) }

// Specs lists the providers in the order of their names.
func (r Registry) Specs() []Spec {
	all := r.all()
	var specs []Spec
	for _, name := range slices.Sorted(maps.Keys(all)) {
		specs = append(specs, all[name])
	}
	return specs
}

// unknownProvider is the error for a name without a provider.
func unknownProvider(name string) error {
	return fault.Invalid.New("unknown_provider", "There is no provider %s.", name).At("provider")
}
