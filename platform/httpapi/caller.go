package httpapi

import (
	"context"
	"slices"
)

// Role is what a credential may do. Each holds those before it.
type Role int

// The roles. The zero Role is none, so that a route or a credential without one lets
// nobody do anything.
const (
	Viewer   Role = iota + 1 // reads
	Operator                 // sends again, cancels, releases
	Admin                    // changes integrations, destinations, secrets and keys
)

var roleNames = map[Role]string{Viewer: "viewer", Operator: "operator", Admin: "admin"}

func (r Role) String() string { return roleNames[r] }

// ParseRole reads a role's name.
func ParseRole(name string) (Role, bool) {
	for role, known := range roleNames {
		if known == name {
			return role, true
		}
	}
	return 0, false
}

// Scope is what a credential is confined to. A nil Scope confines nothing; one without
// sources shows nothing.
type Scope struct {
	Sources      []string
	Integrations []string // the ids of those that have the sources
}

// Caller is who a management request was made by.
type Caller struct {
	Actor string // the credential's name, as audit entries have it
	Role  Role
	Scope *Scope
}

// Authenticator knows the management credentials of one kind: keys, or bearer tokens.
type Authenticator interface {
	// Authenticate finds who shows credential: fault.Unauthorized when nobody may, for
	// whatever reason, fault.Unavailable when that cannot be told at the moment.
	Authenticate(ctx context.Context, credential string) (Caller, error)
}

type scopeKey struct{}

// ScopeOf is what the request's credential is confined to; nil where nothing is, and
// in what the gateway does by itself.
func ScopeOf(ctx context.Context) *Scope {
	scope, _ := ctx.Value(scopeKey{}).(*Scope)
	return scope
}

// WithScope gives a context that is confined to scope.
func WithScope(ctx context.Context, scope *Scope) context.Context {
	return context.WithValue(ctx, scopeKey{}, scope)
}

// SeesSource reports whether the credential of ctx may know of a source's records.
func SeesSource(ctx context.Context, source string) bool {
	scope := ScopeOf(ctx)
	return scope == nil || slices.Contains(scope.Sources, source)
}
