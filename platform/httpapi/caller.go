package httpapi

import (
	"context"
	"slices"

	"integration-gateway/platform/fault"
)

// Role is the permission level of a credential. Each includes those before it.
type Role int

// The roles. The zero Role is none: a route or a credential without a role allows nothing.
const (
	Viewer   Role = iota + 1 // reads
	Operator                 // replays, cancels, releases
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

// Scope restricts a credential to sources. A nil Scope restricts nothing; one without
// sources shows nothing.
type Scope struct {
	Sources      []string
	Integrations []string // the ids of the sources' integrations
}

// Caller identifies who made a management request.
type Caller struct {
	Actor string // the credential's name, as in audit entries
	Role  Role
	Scope *Scope
}

// Authenticator checks the management credentials of one kind: keys, or bearer tokens.
type Authenticator interface {
	// Authenticate returns the caller with this credential; fault.Unauthorized if it is not
	// valid for any reason, fault.Unavailable if that cannot be determined right now.
	Authenticate(ctx context.Context, credential string) (Caller, error)
}

type roleKey struct{}

// Needs returns nil if the request's credential has a role, else a fault.Forbidden that says
// what needs it. It is for input of a route that needs more than the route.
func Needs(ctx context.Context, role Role, what string) error {
	has, _ := ctx.Value(roleKey{}).(Role)
	if has >= role {
		return nil
	}
	return fault.Forbidden.New("role_too_low", "%s needs the role %s; this credential has the role %s.", what, role, has)
}

type scopeKey struct{}

// ScopeOf returns the restriction of the request's credential; nil if there is none, and in
// the gateway's own work.
func ScopeOf(ctx context.Context) *Scope {
	scope, _ := ctx.Value(scopeKey{}).(*Scope)
	return scope
}

// WithScope returns a context that is restricted to scope.
func WithScope(ctx context.Context, scope *Scope) context.Context {
	return context.WithValue(ctx, scopeKey{}, scope)
}

// SeesSource reports whether ctx's credential may see a source's records.
func SeesSource(ctx context.Context, source string) bool {
	scope := ScopeOf(ctx)
	return scope == nil || slices.Contains(scope.Sources, source)
}
