package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// Base is the prefix of the API.
const Base = "/api/v1"

// Routes is where modules register. Whatever is registered in a group needs a management
// credential of its role, because it is registered there: no path is ever matched to
// decide that. Public routes need none.
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

// Route is a route with what it asks for.
type Route struct {
	Method, Path string
	Role         Role // 0: public
	Scoped       bool // credentials that are confined to sources may use it
}

// Scoped is the group for routes that heed ScopeOf: they list and touch nothing of other
// sources. All others are closed to credentials that are confined.
func (g Group) Scoped() Group {
	g.scoped = true
	return g
}

// GET registers a route that reads.
func (g Group) GET(path string, h echo.HandlerFunc) { g.add(http.MethodGet, path, h) }

// HEAD registers a route that tells whether something is there.
func (g Group) HEAD(path string, h echo.HandlerFunc) { g.add(http.MethodHead, path, h) }

// POST registers a route that writes.
func (g Group) POST(path string, h echo.HandlerFunc) { g.add(http.MethodPost, path, h) }

// PATCH registers a route that changes.
func (g Group) PATCH(path string, h echo.HandlerFunc) { g.add(http.MethodPatch, path, h) }

// DELETE registers a route that removes.
func (g Group) DELETE(path string, h echo.HandlerFunc) { g.add(http.MethodDelete, path, h) }

func (g Group) add(method, path string, h echo.HandlerFunc) {
	g.server.register(Route{method, Base + path, g.role, g.scoped}, h)
}

// register refuses a route that stands already: echo would let the later one, and its
// protection or lack of it, win without a word.
func (s *Server) register(route Route, h echo.HandlerFunc) {
	for _, r := range s.echo.Routes() {
		if r.Method == route.Method && r.Path == route.Path {
			panic("httpapi: " + route.Method + " " + route.Path + " is registered twice; give one of them another path")
		}
	}
	s.registered = append(s.registered, route)
	if route.Role == 0 {
		s.echo.Add(route.Method, route.Path, h)
		return
	}
	s.echo.Add(route.Method, route.Path, h, s.admit(Group{s, route.Role, route.Scoped}))
}

// Registered lists every route that the server has.
func (s *Server) Registered() []Route { return append([]Route{}, s.registered...) }
