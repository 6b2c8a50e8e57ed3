package console

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// The names of the cookie with a session's token. Browsers keep the first for this host alone,
// over TLS alone; the second is for http://localhost, where there is no TLS.
const (
	cookieName = "__Host-console"
	localName  = "console"
)

// maxKey is more than any key has bytes.
const maxKey = 4096

type signInPage struct {
	Next    string
	Problem string
	Local   bool // the command line can print a link
}

// signInForm shows the form, or signs in by a link that is good once.
func (m *Module) signInForm(c echo.Context) error {
	if token := c.QueryParam("once"); token != "" {
		if !m.links.take(token, m.d.Now()) {
			return m.renderSignIn(c, http.StatusUnauthorized, signInPage{Problem: "This link was used already, or is older than five minutes. Restart the gateway for a new one, or type the key."})
		}
		return m.enter(c, "", httpapi.ManagementActor, Root)
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
	keyID := ""
	if caller.Actor != httpapi.ManagementActor {
		if keyID, err = m.d.Keys.KeyID(c.Request().Context(), key); err != nil {
			return err
		}
	}
	return m.enter(c, keyID, caller.Actor, p.Next)
}

// enter begins a session and shows the page that was asked for.
func (m *Module) enter(c echo.Context, keyID, actor, next string) error {
	token, err := m.begin(c.Request().Context(), keyID, actor)
	if err != nil {
		return err
	}
	c.SetCookie(sessionCookie(c.Request(), token, int(absoluteFor.Seconds())))
	return c.Redirect(http.StatusSeeOther, localPath(next))
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
	return m.render(c, status, "sign-in", page{Title: "Sign in", Bare: true, Body: p})
}

// sessionCookie is the cookie of a session; a negative age removes it.
func sessionCookie(r *http.Request, token string, age int) *http.Cookie {
	//nolint:gosec // without Secure on the loopback without TLS alone
	cookie := &http.Cookie{Name: cookieName, Value: token, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if isLocal(r) && r.TLS == nil {
		cookie.Name, cookie.Secure = localName, false
	}
	return cookie
}

// tokenOf returns the token that a request's cookie holds; "" without one.
func tokenOf(r *http.Request) string {
	name := cookieName
	if isLocal(r) && r.TLS == nil {
		name = localName
	}
	if cookie, err := r.Cookie(name); err == nil {
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
	if err != nil || u.IsAbs() || u.Host != "" || strings.ContainsAny(next, "\\\r\n") || u.Path != Root && !strings.HasPrefix(u.Path, Root+"/") || strings.HasPrefix(u.Path, Root+"/sign-") {
		return Root
	}
	return u.RequestURI()
}
