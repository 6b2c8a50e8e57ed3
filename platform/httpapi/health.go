package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/singleflight"

	"integration-gateway/platform/clock"
)

// checkTimeout is the timeout of one dependency's check.
const checkTimeout = 2 * time.Second

const (
	pathHealth = Base + "/health"
	pathLive   = "/livez"
	pathReady  = "/readyz"

	pathMetrics = "/metrics"
)

// ErrMisconfigured is in the chain of a check's error if it stays until somebody changes a
// setting, or what it is about.
var ErrMisconfigured = errors.New("misconfigured")

// Check returns nil if a dependency can be used. Its error is only logged.
type Check func(ctx context.Context) error

type checkResult struct {
	Status string `json:"status"`
}

type healthReport struct {
	Status    string                 `json:"status"`
	Timestamp clock.Time             `json:"timestamp"`
	Checks    map[string]checkResult `json:"checks"`
}

type probeReport struct {
	Status    string     `json:"status"`
	Timestamp clock.Time `json:"timestamp"`
}

// Health registers the public routes that report the state of the process:
//   - GET /api/v1/health: each of checks by its name; 503 and "degraded" when one fails
//   - GET /livez: 200 as long as the process answers at all, whatever it depends on
//   - GET /readyz: 503 while ready fails, and from Drain on
//
// /livez and /readyz are registered at the root and below the API's base.
func (s *Server) Health(checks map[string]Check, ready Check) {
	p := &prober{server: s, checks: checks, ready: ready}
	s.Routes().Public.GET("/health", p.health, healthSpec)
	for _, base := range []string{"", Base} {
		s.register(Route{Method: http.MethodGet, Path: base + pathLive, Spec: liveSpec}, p.live)
		s.register(Route{Method: http.MethodGet, Path: base + pathReady, Spec: readySpec}, p.readiness)
	}
}

// The probes are raw: load balancers may add parameters.
var (
	healthSpec = Spec{Raw: true, Summary: "The state of the process and of what it depends on.", Names: map[string]any{"Check": checkResult{}}, Answers: []Answer{
		Returns(http.StatusOK, "Health", healthReport{}).If("all is well"),
		Returns(http.StatusServiceUnavailable, "Health", healthReport{}).If("a dependency fails: the status is degraded"),
	}}
	liveSpec  = Spec{Raw: true, Summary: "Whether the process answers.", Answers: []Answer{Returns(http.StatusOK, "Probe", probeReport{})}}
	readySpec = Spec{Raw: true, Summary: "Whether the process can accept webhooks.", Answers: []Answer{
		Returns(http.StatusOK, "Probe", probeReport{}).If("it can"),
		Returns(http.StatusServiceUnavailable, "Probe", probeReport{}).If("neither the database nor the spool can take webhooks (error), the broker's queues are not those that the settings name (misconfigured), or the process is stopping and will soon accept no more (draining)"),
	}}
)

var metricsSpec = Spec{Raw: true, Media: "text/plain", Summary: "The metrics, in the format of Prometheus.", Answers: []Answer{{Status: http.StatusOK, Shape: Other}}}

// Metrics registers GET /metrics at the root, for credentials of that role; 0 for anyone who
// reaches the listener. A credential that is restricted to sources may not read it.
func (s *Server) Metrics(role Role, h http.Handler) {
	s.register(Route{Method: http.MethodGet, Path: pathMetrics, Role: role, Spec: metricsSpec}, echo.WrapHandler(h))
}

func isProbe(route string) bool {
	switch route {
	case pathHealth, pathLive, pathReady, Base + pathLive, Base + pathReady, pathMetrics:
		return true
	}
	return false
}

type prober struct {
	server *Server
	checks map[string]Check
	ready  Check
	// Anyone can request the health at any rate; a dependency is checked once at a time,
	// and a hanging one holds one goroutine.
	running singleflight.Group
}

func (p *prober) health(c echo.Context) error {
	type outcome struct {
		name string
		err  error
	}
	ctx := c.Request().Context()
	outcomes := make(chan outcome, len(p.checks))
	for name, check := range p.checks {
		go func() { outcomes <- outcome{name, p.ask(ctx, name, check)} }()
	}
	report := healthReport{Status: "ok", Checks: make(map[string]checkResult, len(p.checks))}
	for range p.checks {
		o := <-outcomes
		report.Checks[o.name] = checkResult{"ok"}
		if o.err != nil {
			report.Status = "degraded"
			report.Checks[o.name] = checkResult{"error"}
			p.server.log.WarnContext(ctx, "health check failed", "check", o.name, "error", o.err)
		}
	}
	report.Timestamp = clock.At(p.server.now())
	return probed(c, report.Status == "ok", report)
}

func (p *prober) live(c echo.Context) error {
	return Data(c, http.StatusOK, probeReport{"ok", clock.At(p.server.now())})
}

func (p *prober) readiness(c echo.Context) error {
	report := probeReport{"ok", clock.At(p.server.now())}
	ctx := c.Request().Context()
	if p.server.draining.Load() {
		report.Status = "draining"
	} else if err := p.ask(ctx, "", p.ready); err != nil {
		report.Status = "error"
		if errors.Is(err, ErrMisconfigured) {
			report.Status = "misconfigured"
		}
		p.server.log.WarnContext(ctx, "not ready", "error", err)
	}
	return probed(c, report.Status == "ok", report)
}

// ask runs check, or waits for a running one. It returns in time even if the check does
// not.
func (p *prober) ask(ctx context.Context, name string, check Check) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	result := p.running.DoChan(name, func() (_ any, err error) {
		defer func() {
			if v := recover(); v != nil { // singleflight would crash the process
				err = fmt.Errorf("panic: %v", v)
			}
		}()
		own, done := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
		defer done()
		return nil, check(own)
	})
	select {
	case r := <-result:
		return r.Err
	case <-ctx.Done():
		return errors.New("no answer in time")
	}
}

// probed answers with a report, and when to retry if something is wrong.
func probed(c echo.Context, ok bool, report any) error {
	if ok {
		return Data(c, http.StatusOK, report)
	}
	c.Response().Header().Set(echo.HeaderRetryAfter, "5")
	return Data(c, http.StatusServiceUnavailable, report)
}
