package httpapi

import (
	"context"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
)

// HeaderManagementKey is the header that management routes need, exactly once.
const HeaderManagementKey = "X-Internal-Api-Key"

// ManagementActor is the name of the one management credential there is.
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

// requireKey lets a request pass that shows the management key. Every failure gets
// the same answer.
func (s *Server) requireKey(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if reason := s.refuseKey(r.Header.Values(HeaderManagementKey)); reason != "" {
			s.failed(reason, ClientIP(c))
			return fault.Unauthorized.New(reason, "This route needs a valid x-internal-api-key header.")
		}
		c.SetRequest(r.WithContext(WithActor(r.Context(), ManagementActor)))
		return next(c)
	}
}

// refuseKey gives the reason to refuse, or "". Two headers are refused even when one
// is right, since a proxy in front may have looked at the other.
func (s *Server) refuseKey(given []string) string {
	switch {
	case len(given) == 0:
		return "missing_key"
	case len(given) > 1:
		return "repeated_key"
	case !s.cfg.ManagementKey.Equal(given[0]) || s.cfg.ManagementKey.Empty():
		return "wrong_key"
	}
	return ""
}
