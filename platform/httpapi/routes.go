package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// Base is the prefix of the API.
const Base = "/api/v1"

// Routes is where modules register. A route's group alone determines the management
// credential that it requires; paths are never matched for that. Public routes require
// none.
type Routes struct {
	Public   Group
	Viewer   Group
	Operator Group
	Admin    Group
}

// Group registers routes below Base with the group's protection.
type Group struct {
	server *Server
	role   Role // 0: public
	scoped bool
}

// Route is a route with its requirements.
type Route struct {
	Method, Path string
	Role         Role // 0: public
	Scoped       bool // credentials that are restricted to sources may use it
	Spec         Spec
}

// PathParams returns the parameters in the route's path.
func (r Route) PathParams() []Param { return pathParams(r.Path) }

// Scoped returns the group for routes that enforce ScopeOf: they list and change nothing of
// other sources. All other routes refuse restricted credentials.
func (g Group) Scoped() Group {
	g.scoped = true
	return g
}

// GET registers a route that reads.
func (g Group) GET(path string, h echo.HandlerFunc, spec Spec) { g.add(http.MethodGet, path, h, spec) }

// HEAD registers a route that reports whether something exists.
func (g Group) HEAD(path string, h echo.HandlerFunc, spec Spec) {
	g.add(http.MethodHead, path, h, spec)
}

// OPTIONS registers a route that tells senders what they may do.
func (g Group) OPTIONS(path string, h echo.HandlerFunc, spec Spec) {
	g.add(http.MethodOptions, path, h, spec)
}

// POST registers a route that writes.
func (g Group) POST(path string, h echo.HandlerFunc, spec Spec) {
	g.add(http.MethodPost, path, h, spec)
}

// PUT registers a route that replaces.
func (g Group) PUT(path string, h echo.HandlerFunc, spec Spec) { g.add(http.MethodPut, path, h, spec) }

// PATCH registers a route that changes.
func (g Group) PATCH(path string, h echo.HandlerFunc, spec Spec) {
	g.add(http.MethodPatch, path, h, spec)
}

// DELETE registers a route that removes.
func (g Group) DELETE(path string, h echo.HandlerFunc, spec Spec) {
	g.add(http.MethodDelete, path, h, spec)
}

func (g Group) add(method, path string, h echo.HandlerFunc, spec Spec) {
	g.server.register(Route{method, Base + path, g.role, g.scoped, spec}, h)
}

// register refuses a duplicate route: echo would silently replace the earlier one, with its
// protection.
func (s *Server) register(route Route, h echo.HandlerFunc) {
	for _, r := range s.echo.Routes() {
		if r.Method == route.Method && r.Path == route.Path {
			panic("httpapi: " + route.Method + " " + route.Path + " is registered twice; give one of them another path")
		}
	}
	s.registered = append(s.registered, route)
	if !route.Spec.Raw {
		h = s.withInput(route, h)
	}
	if route.Spec.Stream {
		h = s.streaming(h)
	}
	if route.Role == 0 {
		s.echo.Add(route.Method, route.Path, h)
		return
	}
	s.echo.Add(route.Method, route.Path, h, s.admit(Group{s, route.Role, route.Scoped}, route.Spec.Stream))
}

// Registered lists every route that the server has.
func (s *Server) Registered() []Route { return append([]Route{}, s.registered...) }
