package httpapi

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
)

// StandIn makes a server that answers while the process waits for what it cannot start without:
// /livez with 200, /readyz, /health and everything else with 503 and Retry-After.
func StandIn(cfg Config, d Deps, missing string) *Server {
	s := New(cfg, d)
	away := fault.Unavailable.New("starting", "The process is starting and waits for %s.", missing).After(standInRetry)
	waits := func(context.Context) error { return away }
	s.Health(map[string]Check{missing: waits}, waits)
	s.echo.RouteNotFound("/*", func(echo.Context) error { return away })
	return s
}

const standInRetry = 5 * time.Second
