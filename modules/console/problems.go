package console

import (
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/client"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// problem is what went wrong, as a page shows it.
type problem struct {
	Status      int
	Message     string
	Fields      []client.Field
	Correlation string // "" if there is nothing in the log
}

// isUnauthorized reports whether a credential was refused.
func isUnauthorized(err error) bool {
	f := fault.As(err)
	return f != nil && f.Kind == fault.Unauthorized
}

// problemOf says what the visitor may know of an error; what is the gateway's own fault is
// logged.
func (m *Module) problemOf(c echo.Context, err error) problem {
	p := problem{Status: http.StatusInternalServerError, Message: "Something went wrong on our side; it is in the log under this correlation id.",
		Correlation: c.Response().Header().Get(httpapi.HeaderCorrelation)}
	var answered *client.Error
	f := fault.As(err)
	switch {
	case errors.As(err, &answered):
		p.Status, p.Message, p.Fields = answered.Status, answered.Message, answered.Fields
	case f != nil && f.Kind != fault.Internal:
		p.Status, p.Message = httpapi.StatusOf(f.Kind), f.Message
	default:
		m.d.Log.ErrorContext(c.Request().Context(), "a page of the console failed", "module", "console", "error", err)
	}
	return p
}

// fail answers with the page of an error.
func (m *Module) fail(c echo.Context, err error) error {
	p := m.problemOf(c, err)
	title := map[int]string{http.StatusNotFound: "Not found", http.StatusForbidden: "Not allowed"}[p.Status]
	if title == "" {
		title = "That did not work"
	}
	return m.render(c, p.Status, "error", page{Title: title, Bare: true, Problem: &p})
}

// noSuchPage answers what has no page.
func (m *Module) noSuchPage(v *visit) error {
	return v.showWith(http.StatusNotFound, "error", "Not found", nil, fault.NotFound.New("no_page", "The console has no such page."))
}

func putNotice(c echo.Context, text string) {
	c.SetCookie(ownCookie(c.Request(), noticeCookie, base64.RawURLEncoding.EncodeToString([]byte(text)), 60, http.SameSiteStrictMode))
}

func takeNotice(c echo.Context) string {
	cookie, err := c.Request().Cookie(ownName(c.Request(), noticeCookie))
	if err != nil {
		return ""
	}
	c.SetCookie(ownCookie(c.Request(), noticeCookie, "", -1, http.SameSiteStrictMode))
	text, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return ""
	}
	return string(text)
}
