package console

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// Issuer is what the console needs to let people sign in at an OpenID Connect issuer.
type Issuer interface {
	// IssuerName is the issuer's host.
	IssuerName() string
	// Terms identifies what tokens are accepted and what they allow; a session ends when it changes.
	Terms() string
	// Authorization returns the issuer's address at which a person signs in.
	Authorization(ctx context.Context, f contract.CodeFlow) (string, error)
	// Redeem exchanges the code that the issuer gave: who signed in, with what the API gives the
	// holder of the token, and until when.
	Redeem(ctx context.Context, code string, f contract.CodeFlow) (httpapi.Caller, time.Time, error)
	// Restore returns the caller that a token gave earlier; nil sources are all.
	Restore(ctx context.Context, actor string, role httpapi.Role, sources []string) (httpapi.Caller, error)
}

const (
	callbackPath  = Root + "/sign-in/callback"
	flowFor       = 10 * time.Minute
	maxNext       = 2000 // bytes of the page to go to that the cookie holds
	maxIssuerSays = 300  // bytes of an issuer's refusal that are shown
)

// errLoginEnded says that a session ended with its token: the issuer may give another at once.
var errLoginEnded = fmt.Errorf("the login's token has expired: %w", errSignedOut)

// goToIssuer begins a sign-in: the browser gets random bits in a cookie, of which everything that
// comes back is derived. Nothing is stored before somebody has signed in.
func (m *Module) goToIssuer(c echo.Context) error {
	if m.d.Issuer == nil {
		return fault.NotFound.New("no_issuer", "This gateway has no issuer to sign in at: sign in with a management key.")
	}
	next := localPath(c.QueryParam("next"))
	if len(next) > maxNext {
		next = Root
	}
	seed := newToken()
	address, err := m.d.Issuer.Authorization(c.Request().Context(), flowOf(c.Request(), seed))
	if err != nil {
		return m.refuseSignIn(c, err, next)
	}
	c.SetCookie(flowCookie(c.Request(), seed+"."+base64.RawURLEncoding.EncodeToString([]byte(next)), int(flowFor.Seconds())))
	return c.Redirect(http.StatusSeeOther, address)
}

// comeBack ends a sign-in at the issuer, which has sent the browser back with a code. The page
// goes on by itself: what comes from another site has no SameSite=Strict cookie yet.
func (m *Module) comeBack(c echo.Context) error {
	if m.d.Issuer == nil {
		return m.goToIssuer(c)
	}
	seed, next := takeFlow(c)
	q := c.QueryParams()
	f := flowOf(c.Request(), seed)
	if seed == "" || !hmac.Equal([]byte(q.Get("state")), []byte(f.State)) {
		return m.renderSignIn(c, http.StatusBadRequest, signInPage{Next: next, Problem: "This sign-in was not begun in this browser, was finished already, or took more than ten minutes. Nobody was signed in; begin again."})
	}
	if said := q.Get("error"); said != "" || q.Get("code") == "" {
		return m.renderSignIn(c, http.StatusForbidden, signInPage{Next: next, Problem: fmt.Sprintf("%s did not sign you in: %s", m.d.Issuer.IssuerName(), refusal(q))})
	}
	var until time.Time
	caller, err := m.server.CheckSignIn(c, func(ctx context.Context) (caller httpapi.Caller, err error) {
		caller, until, err = m.d.Issuer.Redeem(ctx, q.Get("code"), f)
		return caller, err
	})
	if err != nil {
		return m.refuseSignIn(c, err, next)
	}
	if err := m.enter(c, holder{caller: caller, until: until}); err != nil {
		return err
	}
	c.Response().Header().Set("Referrer-Policy", "no-referrer") // the address of this page has the code
	return m.render(c, http.StatusOK, "again", page{Title: "One moment", Bare: true, Refresh: next})
}

// refusal is the error with which an issuer sent the browser back (RFC 6749, section 4.1.2.1).
func refusal(q url.Values) string {
	text := q.Get("error")
	if text == "" {
		return "its answer has no code."
	}
	if more := q.Get("error_description"); more != "" {
		text += ", " + more
	}
	return strings.ToValidUTF8(text[:min(len(text), maxIssuerSays)], "") + "."
}

// refuseSignIn says why nobody was signed in by the issuer.
func (m *Module) refuseSignIn(c echo.Context, err error, next string) error {
	f := fault.As(err)
	if f == nil || f.Kind == fault.Internal {
		return err
	}
	name, p := m.d.Issuer.IssuerName(), signInPage{Next: next, Problem: f.Message}
	switch {
	case f.Reason == "issuer_away":
		p.Problem = name + " cannot be reached right now. Try again in ten seconds, or sign in with a management key."
	case f.Reason == "role_too_low":
		p.Problem = "You are signed in at " + name + ", but your account has no role for this gateway. Ask who manages it for one of the roles in OIDC_ROLES, then sign in again."
	case f.Reason == "wrong_code" || f.Reason == "wrong_nonce":
		p.Problem = name + " did not confirm this sign-in: it was used already, or belongs to another browser. Begin again."
	case f.Kind == fault.Unauthorized:
		p.Problem = "What " + name + " answered is not for this gateway (" + f.Reason + "): OIDC_AUDIENCE must be in the aud of its access token or ID token. The log has more at LOG_LEVEL=debug."
	}
	return m.renderSignIn(c, httpapi.StatusOf(f.Kind), p)
}

// flowOf derives what a sign-in consists of from a browser's random bits. Who sees one of the
// derived texts learns nothing of the others.
func flowOf(r *http.Request, seed string) contract.CodeFlow {
	part := func(name string) string {
		mac := hmac.New(sha256.New, []byte(seed))
		mac.Write([]byte(name))
		return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	scheme := "https://"
	if inPlain(r) {
		scheme = "http://"
	}
	return contract.CodeFlow{Redirect: scheme + r.Host + callbackPath, State: part("state"), Nonce: part("nonce"), Verifier: part("verifier")}
}

// flowCookie binds a sign-in at the issuer to the browser that began it. It is SameSite=Lax, since
// the answer comes from another site.
func flowCookie(r *http.Request, value string, age int) *http.Cookie {
	return ownCookie(r, flowName, value, age, http.SameSiteLaxMode)
}

// takeFlow returns the random bits that a browser got when it began, "" without any, and the page
// to go to. They are good for one answer.
func takeFlow(c echo.Context) (seed, next string) {
	gone := flowCookie(c.Request(), "", -1)
	cookie, err := c.Request().Cookie(gone.Name)
	if err != nil {
		return "", Root
	}
	c.SetCookie(gone)
	seed, text, _ := strings.Cut(cookie.Value, ".")
	path, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(seed) != len(newToken()) {
		return "", Root
	}
	return seed, localPath(string(path))
}

// ofIssuer returns who holds a session that a token began.
func (m *Module) ofIssuer(ctx context.Context, s session, token string) (httpapi.Caller, error) {
	if m.d.Issuer == nil || s.KeyProof == nil || !hmac.Equal([]byte(*s.KeyProof), []byte(proof(token, m.d.Issuer.Terms()))) {
		return httpapi.Caller{}, errSignedOut
	}
	role, known := httpapi.ParseRole(s.role())
	if !known {
		return httpapi.Caller{}, errSignedOut
	}
	return m.d.Issuer.Restore(ctx, *s.Actor, role, s.sources())
}

// askAgain sends a browser whose login has ended to the issuer, which knows whether the person
// may go on.
func (m *Module) askAgain(c echo.Context, ended error) (address string, is bool) {
	r := c.Request()
	navigates := r.Method == http.MethodGet && (r.Header.Get("Sec-Fetch-Mode") == "" || r.Header.Get("Sec-Fetch-Mode") == "navigate")
	if !navigates || m.d.Issuer == nil || !errors.Is(ended, errLoginEnded) {
		return "", false
	}
	return Root + "/sign-in/issuer?next=" + url.QueryEscape(r.URL.RequestURI()), true
}
