package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
)

// HeaderManagementKey is the header that management routes need, exactly once.
const HeaderManagementKey = "X-Internal-Api-Key"

// ManagementActor is the name of the configured key, which may do everything.
const ManagementActor = "management-key"

type actorKey struct{}

// Actor is the name of the credential that a request was made with, never what the
// caller says of itself; "" on public routes.
func Actor(ctx context.Context) string {
	name, _ := ctx.Value(actorKey{}).(string)
	return name
}

// WithActor gives a context whose Actor is name.
func WithActor(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, name)
}

// admit lets a request pass whose credential has the group's role. Every failure to show
// a credential gets the same answer, and so does every one that does not suffice.
func (s *Server) admit(g Group) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			caller, err := s.caller(r)
			if err != nil {
				return s.unproven(c, err)
			}
			if reason := g.forbids(caller); reason != "" {
				s.failed(reason, ClientIP(c))
				return fault.Forbidden.New(reason, "This credential may not use this route.")
			}
			ctx := WithActor(r.Context(), caller.Actor)
			if caller.Scope != nil {
				ctx = WithScope(ctx, caller.Scope)
			}
			c.SetRequest(r.WithContext(ctx))
			return next(c)
		}
	}
}

// forbids gives the reason why the caller may not use the group's routes, or "". A caller
// who is confined to sources may use only routes that are known to heed it.
func (g Group) forbids(caller Caller) string {
	switch {
	case caller.Role < g.role:
		return "role_too_low"
	case caller.Scope != nil && !g.scoped:
		return "outside_scope"
	}
	return ""
}

// unproven answers a request whose caller is not known. One that may be at fault itself is
// counted, and beyond the limit its address is told to wait; since the credential is looked
// at first, a right one that can be checked never is.
func (s *Server) unproven(c echo.Context, err error) error {
	f := fault.As(err)
	refused := f != nil && f.Kind == fault.Unauthorized
	if refused {
		s.failed(f.Reason, ClientIP(c))
	}
	if refused || f != nil && f.Reason == issuerAway {
		if wait := s.failures.add(ClientIP(c), s.now()); wait > 0 {
			return fault.RateLimited.New("too_many_failures", "Too many requests without a valid credential came from this address.").After(wait)
		}
	}
	if !refused {
		return err
	}
	if s.tokens != nil {
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, "Bearer") // RFC 6750, section 3
		return fault.Unauthorized.New(f.Reason, "This route needs a valid x-internal-api-key header or bearer token.")
	}
	return f
}

// Refuse is the one answer to a credential that is missing or not valid.
func Refuse(reason string) *fault.Error {
	return fault.Unauthorized.New(reason, "This route needs a valid x-internal-api-key header.")
}

const issuerAway = "issuer_away"

// Unchecked is the answer to a token while nobody can tell whether it is right. Made-up
// ones get it too, so that it counts as a failure of its address.
func Unchecked(wait time.Duration) *fault.Error {
	return fault.Unavailable.New(issuerAway, "The issuer of tokens cannot be asked for its keys at the moment.").After(wait)
}

// caller finds whose credential the request shows. Two are refused even when one is
// right, since a proxy in front may have looked at the other.
func (s *Server) caller(r *http.Request) (Caller, error) {
	given, tokens := r.Header.Values(HeaderManagementKey), s.bearer(r)
	switch {
	case len(given) > 0 && len(tokens) > 0:
		return Caller{}, Refuse("key_and_token")
	case len(tokens) > 1:
		return Caller{}, Refuse("repeated_token")
	case len(tokens) == 1:
		return s.tokens.Authenticate(r.Context(), tokens[0])
	case len(given) == 0:
		return Caller{}, Refuse("missing_key")
	case len(given) > 1:
		return Caller{}, Refuse("repeated_key")
	case s.cfg.ManagementKey.Equal(given[0]) && !s.cfg.ManagementKey.Empty():
		return Caller{Actor: ManagementActor, Role: Admin}, nil
	case s.keys == nil:
		return Caller{}, Refuse("wrong_key")
	}
	return s.keys.Authenticate(r.Context(), given[0])
}

// bearer gives the request's bearer tokens, where there can be any. Authorization of
// another scheme is for somebody in front, and no credential here.
func (s *Server) bearer(r *http.Request) []string {
	if s.tokens == nil {
		return nil
	}
	var tokens []string
	for _, value := range r.Header.Values(echo.HeaderAuthorization) {
		if scheme, token, _ := strings.Cut(value, " "); strings.EqualFold(scheme, "bearer") {
			tokens = append(tokens, strings.TrimSpace(token))
		}
	}
	return tokens
}
