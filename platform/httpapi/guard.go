package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

// HeaderManagementKey is the header that management routes require, exactly once.
const HeaderManagementKey = "X-Internal-Api-Key"

// ManagementActor is the name of the configured key, which has all permissions.
const ManagementActor = "management-key"

type actorKey struct{}

// Actor returns the name of the request's credential, never what the caller says; "" on
// public routes.
func Actor(ctx context.Context) string {
	name, _ := ctx.Value(actorKey{}).(string)
	return name
}

// WithActor returns a context whose Actor is name.
func WithActor(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, name)
}

type callerKey struct{}

// WithCaller returns a context for requests that this process sends to its own handler: they
// need no credential. No request from the network has such a context.
func WithCaller(ctx context.Context, caller Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, caller)
}

// admit passes requests whose credential has the group's role. All failures to authenticate
// get the same answer, and so do all insufficient credentials. Streams have no deadline.
func (s *Server) admit(g Group, streams bool) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			caller, err := s.authenticate(c)
			if err != nil {
				return err
			}
			if err := s.checkHost(r.Host); err != nil {
				s.failed("wrong_host", ClientIP(c))
				return err
			}
			if reason := g.forbids(caller); reason != "" {
				s.failed(reason, ClientIP(c))
				return g.forbidden(reason, caller)
			}
			ctx := context.WithValue(WithActor(r.Context(), caller.Actor), roleKey{}, caller.Role)
			if caller.Scope != nil {
				ctx = WithScope(ctx, caller.Scope)
			}
			if r.Method == http.MethodGet && !streams {
				own, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
				defer cancel()
				ctx = own
			}
			c.SetRequest(r.WithContext(ctx))
			return next(c)
		}
	}
}

// authenticate returns the caller of a request. Above an address's failure limit, only a
// number of credentials are checked concurrently. One that was valid recently needs no
// slot, nor does a request without a credential, so others behind the same address cannot
// block it.
func (s *Server) authenticate(c echo.Context) (Caller, error) {
	r := c.Request()
	if own, is := r.Context().Value(callerKey{}).(Caller); is {
		return own, nil
	}
	shown := s.credentialOf(r)
	done, wait := func() {}, time.Duration(0)
	if shown != "" && !s.failures.validRecently(shown, s.now()) {
		done, wait = s.failures.guess(ClientIP(c), s.now())
	}
	if wait > 0 {
		return Caller{}, tooManyFailures(wait)
	}
	defer done()
	caller, err := s.caller(r)
	if err != nil {
		return Caller{}, s.unauthenticated(c, err)
	}
	s.failures.recordValid(shown, s.now())
	return caller, nil
}

// credentialOf returns a request's credential, valid or not; "" for none.
func (s *Server) credentialOf(r *http.Request) string {
	if key := r.Header.Get(HeaderManagementKey); key != "" {
		return key
	}
	if tokens := s.bearer(r); len(tokens) > 0 {
		return tokens[0]
	}
	return ""
}

// forbids returns the reason why the caller may not use the group's routes, or "". A caller
// who is restricted to sources may use only routes that enforce it.
func (g Group) forbids(caller Caller) string {
	switch {
	case caller.Role < g.role:
		return "role_too_low"
	case caller.Scope != nil && !g.scoped:
		return "outside_scope"
	}
	return ""
}

// forbidden says what the route needs.
func (g Group) forbidden(reason string, caller Caller) error {
	switch {
	case reason == "outside_scope":
		return fault.Forbidden.New(reason, "This route needs a credential that is not restricted to sources.")
	case caller.Role == 0:
		return fault.Forbidden.New(reason, "This route needs the role %s; this credential has no role.", g.role)
	}
	return fault.Forbidden.New(reason, "This route needs the role %s; this credential has the role %s.", g.role, caller.Role)
}

// unauthenticated answers a request without a valid credential. If the caller may be at
// fault, it is counted, and above the limit its address is told to wait, after a delay.
func (s *Server) unauthenticated(c echo.Context, err error) error {
	f := fault.As(err)
	refused := f != nil && f.Kind == fault.Unauthorized
	if refused {
		s.failed(f.Reason, ClientIP(c))
	}
	if refused || f != nil && f.Reason == issuerUnavailable {
		if wait := s.failures.add(ClientIP(c), s.now()); wait > 0 {
			clock.Sleep(c.Request().Context(), guessDelay)
			return tooManyFailures(wait)
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

func tooManyFailures(wait time.Duration) error {
	return fault.RateLimited.New("too_many_failures", "Too many requests without a valid credential came from this address.").After(wait)
}

// Refuse is the only answer to a missing or invalid credential.
func Refuse(reason string) *fault.Error {
	return fault.Unauthorized.New(reason, "This route needs a valid x-internal-api-key header.")
}

const issuerUnavailable = "issuer_away"

// Unchecked is the answer to a token that cannot be checked right now. Forged tokens get it
// too, so it counts as a failure of the address.
func Unchecked(wait time.Duration) *fault.Error {
	return fault.Unavailable.New(issuerUnavailable, "The token issuer's keys cannot be fetched right now.").After(wait)
}

// caller identifies the request's credential. Two credentials are refused even if one is
// valid, since a proxy in front may have checked the other.
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

// bearer returns the request's bearer tokens, if tokens are configured. Authorization with
// another scheme is meant for a proxy in front, and is not a credential here.
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
