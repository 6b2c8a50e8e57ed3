package httpapi

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
)

// Page registers a route at the root that is no part of the API: it is in no description, and
// its handler decides by itself who may see it, and how errors are shown.
func (s *Server) Page(method, path string, h echo.HandlerFunc) {
	for _, r := range s.echo.Routes() {
		if r.Method == method && r.Path == path {
			panic("httpapi: " + method + " " + path + " is registered twice; give one of them another path")
		}
	}
	s.echo.Add(method, path, h)
}

// CheckHost refuses a request to a page for a host name that is not this gateway's, as the
// routes of the management API do.
func (s *Server) CheckHost(r *http.Request) error { return s.checkHost(r.Host) }

// CheckKey returns the caller with a management key that was typed into a page, with the limit
// for wrong ones that requests have.
func (s *Server) CheckKey(c echo.Context, key string) (Caller, error) {
	outer := c.Request()
	defer c.SetRequest(outer)
	shown := outer.Clone(outer.Context())
	shown.Header.Del(echo.HeaderAuthorization)
	shown.Header[HeaderManagementKey] = []string{key}
	c.SetRequest(shown)
	caller, err := s.authenticate(c)
	if err == nil && caller.Role == 0 {
		return Caller{}, fault.Forbidden.New("role_too_low", "This credential has no role.")
	}
	return caller, err
}

// CheckSignIn returns the caller of what somebody brought from an issuer, as check finds it, with
// the limit for wrong ones that requests have: check asks the issuer.
func (s *Server) CheckSignIn(c echo.Context, check func(context.Context) (Caller, error)) (Caller, error) {
	done, wait := s.failures.guess(ClientIP(c), s.now())
	if wait > 0 {
		return Caller{}, tooManyFailures(wait)
	}
	defer done()
	caller, err := check(c.Request().Context())
	if err != nil {
		return Caller{}, s.unauthenticated(c, err)
	}
	if caller.Role == 0 {
		s.failed("role_too_low", ClientIP(c))
		return caller, fault.Forbidden.New("role_too_low", "This credential has no role.")
	}
	return caller, nil
}
