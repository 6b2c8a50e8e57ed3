package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// Base is the prefix of the API.
const Base = "/api/v1"

// Routes is where modules register. Whatever is registered in Management needs a
// management credential, because it is registered there: no path is ever matched
// to decide that.
type Routes struct {
	Public     Group
	Management Group
}

// Group registers routes below Base with the group's protection.
type Group struct {
	echo  *echo.Echo
	guard []echo.MiddlewareFunc
}

// GET registers a route that reads.
func (g Group) GET(path string, h echo.HandlerFunc) {
	register(g.echo, http.MethodGet, Base+path, h, g.guard...)
}

// HEAD registers a route that tells whether something is there.
func (g Group) HEAD(path string, h echo.HandlerFunc) {
	register(g.echo, http.MethodHead, Base+path, h, g.guard...)
}

// POST registers a route that writes.
func (g Group) POST(path string, h echo.HandlerFunc) {
	register(g.echo, http.MethodPost, Base+path, h, g.guard...)
}

// PATCH registers a route that changes.
func (g Group) PATCH(path string, h echo.HandlerFunc) {
	register(g.echo, http.MethodPatch, Base+path, h, g.guard...)
}

// DELETE registers a route that removes.
func (g Group) DELETE(path string, h echo.HandlerFunc) {
	register(g.echo, http.MethodDelete, Base+path, h, g.guard...)
}

// register refuses a route that stands already: echo would let the later one, and its
// protection or lack of it, win without a word.
func register(e *echo.Echo, method, path string, h echo.HandlerFunc, guard ...echo.MiddlewareFunc) {
	for _, r := range e.Routes() {
		if r.Method == method && r.Path == path {
			panic("httpapi: " + method + " " + path + " is registered twice; give one of them another path")
		}
	}
	e.Add(method, path, h, guard...)
}
