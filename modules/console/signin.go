package console

import (
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// The names of cookies. With the prefix __Host- browsers keep them for this host alone, over TLS
// alone; on http://localhost, where there is no TLS, they have none.
const (
	cookieName   = "console"
	hostPrefix   = "__Host-"
	flowName     = "console-flow"
	noticeCookie = "console-notice" // holds what was done until the next page shows it
)

// maxKey is more than any key has bytes.
const maxKey = 4096

type signInPage struct {
	Next    string
	Problem string
	Local   bool   // the command line can print a link
	Issuer  string // the host of the issuer at which one may sign in; "" without one
	Begin   string // the path that leads there
}

// signInForm shows the form, or signs in by a link that is good once.
func (m *Module) signInForm(c echo.Context) error {
	if token := c.QueryParam("once"); token != "" {
		if !m.links.take(token, m.d.Now()) {
			return m.renderSignIn(c, http.StatusUnauthorized, signInPage{Problem: "This link was used already, or is older than five minutes. Restart the gateway for a new one, or type the key."})
		}
		if err := m.enter(c, holder{caller: httpapi.Caller{Actor: httpapi.ManagementActor}}); err != nil {
			return err
		}
		return c.Redirect(http.StatusSeeOther, Root)
	}
	return m.renderSignIn(c, http.StatusOK, signInPage{Next: localPath(c.QueryParam("next"))})
}

// signIn begins a session for who typed a key.
func (m *Module) signIn(c echo.Context) error {
	form, err := formOf(c)
	if err != nil {
		return err
	}
	p := signInPage{Next: localPath(form.Get("next"))}
	key := strings.TrimSpace(form.Get("key"))
	switch {
	case key == "" || len(key) > maxKey:
		p.Problem = "Type a management key."
		return m.renderSignIn(c, http.StatusBadRequest, p)
	case !isLocal(c.Request()) && strings.HasPrefix(c.Request().Header.Get("Origin"), "http:"):
		p.Problem = "The console asks for a key over HTTPS only, except on localhost: the key would cross the network in plain text. Set TLS_CERT_FILE, or put a proxy with TLS in front."
		return m.renderSignIn(c, http.StatusBadRequest, p)
	}
	caller, err := m.server.CheckKey(c, key)
	if f := fault.As(err); f != nil && f.Kind != fault.Internal {
		p.Problem = f.Message
		if f.Kind == fault.Unauthorized {
			p.Problem = "This key is not valid: it is mistyped, revoked or expired."
		}
		return m.renderSignIn(c, httpapi.StatusOf(f.Kind), p)
	}
	if err != nil {
		return err
	}
	h := holder{caller: caller}
	if caller.Actor != httpapi.ManagementActor {
		if h.keyID, err = m.d.Keys.KeyID(c.Request().Context(), key); err != nil {
			return err
		}
	}
	if err := m.enter(c, h); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, p.Next)
}

// enter begins a session with a token of its own: nothing that the browser had before becomes one
// that is signed in.
func (m *Module) enter(c echo.Context, h holder) error {
	token, err := m.begin(c.Request().Context(), h, tokenOf(c.Request()))
	if err != nil {
		return err
	}
	c.SetCookie(sessionCookie(c.Request(), token, int(absoluteFor.Seconds())))
	return nil
}

// signOut ends the session.
func (m *Module) signOut(v *visit) error {
	if err := m.end(v.ctx, v.token, v.caller.Actor); err != nil {
		return err
	}
	v.c.SetCookie(sessionCookie(v.c.Request(), "", -1))
	return v.c.Redirect(http.StatusSeeOther, Root+"/sign-in")
}

func (m *Module) renderSignIn(c echo.Context, status int, p signInPage) error {
	p.Local = isLocal(c.Request())
	if m.d.Issuer != nil {
		p.Issuer, p.Begin = m.d.Issuer.IssuerName(), Root+"/sign-in/issuer?next="+url.QueryEscape(p.Next)
	}
	return m.render(c, status, "sign-in", page{Title: "Sign in", Bare: true, Body: p})
}

// ownCookie is a cookie that no script and no other host reads or sets; a negative age removes it.
func ownCookie(r *http.Request, name, value string, age int, site http.SameSite) *http.Cookie {
	//nolint:gosec // without Secure on the loopback without TLS alone
	return &http.Cookie{Name: ownName(r, name), Value: value, Path: "/", MaxAge: age, Secure: !inPlain(r), HttpOnly: true, SameSite: site}
}

func sessionCookie(r *http.Request, token string, age int) *http.Cookie {
	return ownCookie(r, cookieName, token, age, http.SameSiteStrictMode)
}

func ownName(r *http.Request, name string) string {
	if inPlain(r) {
		return name
	}
	return hostPrefix + name
}

// inPlain reports whether a browser asks this machine for itself without TLS.
func inPlain(r *http.Request) bool { return isLocal(r) && r.TLS == nil }

// tokenOf returns the token that a request's cookie holds; "" without one.
func tokenOf(r *http.Request) string {
	if cookie, err := r.Cookie(ownName(r, cookieName)); err == nil {
		return cookie.Value
	}
	return ""
}

// isLocal reports whether a browser asks this machine for itself, so that nothing crosses a
// network.
func isLocal(r *http.Request) bool {
	host := hostName(r.Host)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
}

func hostName(host string) string {
	u, err := url.Parse("//" + host)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// localPath returns where to go after signing in: a page of the console, never another site.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || path.Clean(u.Path) != u.Path || u.IsAbs() || u.Host != "" || strings.ContainsAny(next, "\\\r\n") || u.Path != Root && !strings.HasPrefix(u.Path, Root+"/") || strings.HasPrefix(u.Path, Root+"/sign-") {
		return Root
	}
	return u.RequestURI()
}
