package console

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/client"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// policy allows the console's own scripts and styles and nothing else. A script can make no
// markup of text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

const maxForm = 256 << 10

// visit is a request of somebody who is signed in.
type visit struct {
	m      *Module
	c      echo.Context
	ctx    context.Context //nolint:containedctx // of one request
	token  string
	caller httpapi.Caller
	api    *client.Client
	form   url.Values // of a POST
}

// screen answers a request of somebody who is signed in.
type screen func(*visit) error

// open guards a page that needs no session.
func (m *Module) open(h echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("Content-Security-Policy", policy)
		c.Response().Header().Set("Referrer-Policy", "same-origin") // with no-referrer, browsers say Origin: null
		c.Response().Header().Set("Cross-Origin-Opener-Policy", "same-origin")
		c.Response().Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		err := m.server.CheckHost(c.Request())
		if err == nil && c.Request().Method == http.MethodPost {
			err = sameOrigin(c.Request())
		}
		if err == nil {
			err = h(c)
		}
		if err != nil && !c.Response().Committed {
			return m.fail(c, err)
		}
		return err
	}
}

// signedIn guards a page that needs a session.
func (m *Module) signedIn(h screen) echo.HandlerFunc {
	return m.open(func(c echo.Context) error {
		r := c.Request()
		token := tokenOf(r)
		caller, err := httpapi.Caller{}, errSignedOut
		if token != "" {
			caller, err = m.resume(r.Context(), token)
		}
		if errors.Is(err, errSignedOut) {
			if address, is := m.askAgain(c, err); is {
				return c.Redirect(http.StatusSeeOther, address)
			}
			return m.askToSignIn(c, token != "")
		}
		if err != nil {
			return err
		}
		v := &visit{m: m, c: c, ctx: httpapi.WithCaller(r.Context(), caller), token: token, caller: caller}
		if v.api, err = client.New(client.Options{URL: "http://localhost", Transport: m.ownAPI(c)}); err != nil {
			return err
		}
		if r.Method == http.MethodPost {
			if v.form, err = formOf(c); err != nil {
				return err
			}
		}
		return h(v)
	})
}

// askToSignIn answers who has no session. A link on another site carries no SameSite=Strict
// cookie: such a request is answered with a page that asks again from here.
func (m *Module) askToSignIn(c echo.Context, ended bool) error {
	r := c.Request()
	if r.Method == http.MethodGet && !ended && r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		return m.render(c, http.StatusOK, "again", page{Title: "One moment", Bare: true, Refresh: r.URL.RequestURI()})
	}
	if r.Method != http.MethodGet || r.Header.Get("Sec-Fetch-Mode") != "" && r.Header.Get("Sec-Fetch-Mode") != "navigate" {
		return m.renderSignIn(c, http.StatusUnauthorized, signInPage{Problem: "Your session has ended. Nothing was changed; sign in again.", Next: Root})
	}
	return c.Redirect(http.StatusSeeOther, Root+"/sign-in?next="+url.QueryEscape(r.URL.RequestURI()))
}

// sameOrigin refuses a POST that a page of another origin may have sent.
func sameOrigin(r *http.Request) error {
	refused := fault.Forbidden.New("cross_site", "This request did not come from a page of the console, so nothing was done. Open the console and try again there.")
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return refused
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	if err != nil || origin.Host == "" || !strings.EqualFold(origin.Host, r.Host) {
		return refused
	}
	return nil
}

// formOf reads the form of a POST.
func formOf(c echo.Context) (url.Values, error) {
	body, err := httpapi.ReadBody(c, maxForm)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || !strings.HasPrefix(c.Request().Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return nil, fault.Invalid.New("bad_form", "The form could not be read; go back and send it again.")
	}
	return form, nil
}

// ownAPI is the transport to the API of this process. Its requests have the visitor's address and
// the page's correlation id.
func (m *Module) ownAPI(c echo.Context) http.RoundTripper {
	inner := client.ServedBy(m.server.Handler())
	remote, correlation := net.JoinHostPort(httpapi.ClientIP(c), "0"), c.Response().Header().Get(httpapi.HeaderCorrelation)
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		own := r.Clone(r.Context())
		own.RemoteAddr = remote
		own.Header.Set(httpapi.HeaderCorrelation, correlation)
		return inner.RoundTrip(own)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// may reports whether the visitor's key has a role. A page shows no button that would be refused.
func (v *visit) may(role httpapi.Role) bool { return v.caller.Role >= role }

// everywhere reports whether the visitor's key sees all sources.
func (v *visit) everywhere() bool { return v.caller.Scope == nil }

// param returns a parameter of the page's address, without space around it.
func (v *visit) param(name string) string { return strings.TrimSpace(v.c.QueryParam(name)) }

// get reads from the API.
func (v *visit) get(path string, query url.Values, out any) (client.Meta, error) {
	return v.api.Get(v.ctx, path, query, out)
}

// show answers with a screen.
func (v *visit) show(screen, title string, body any) error {
	return v.showWith(http.StatusOK, screen, title, body, nil)
}

// showWith answers with a screen and what went wrong on it, if anything.
func (v *visit) showWith(status int, screen, title string, body any, wrong error) error {
	p := page{Title: title, Section: section(v.c.Request().URL.Path), visit: v, Body: body, Notice: takeNotice(v.c)}
	if wrong != nil {
		problem := v.m.problemOf(v.c, wrong)
		p.Problem, status = &problem, problem.Status
	}
	return v.m.render(v.c, status, screen, p)
}

// done goes to a page of the console, which then shows what was done.
func (v *visit) done(path, notice string) error {
	if notice != "" {
		putNotice(v.c, notice)
	}
	return v.c.Redirect(http.StatusSeeOther, localPath(path))
}
