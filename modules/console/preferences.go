package console

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// preferences are how somebody wants the console to look. They are in a cookie, so that the
// first paint is right, and hold no secret.
type preferences struct {
	Theme   string   // auto, light or dark
	Zone    string   // local or utc
	Density string   // normal or compact
	Keys    string   // on or off
	Hidden  []string // columns of the list of events that are left out
}

// columns are those of the list of events that may be left out.
var columns = []string{"source", "subject", "id", "attempts"}

// Shows reports whether the list of events has a column.
func (p preferences) Shows(column string) bool { return !slices.Contains(p.Hidden, column) }

// hidden are the known columns of a list of them.
func hidden(names []string) []string {
	var known []string
	for _, c := range columns {
		if slices.Contains(names, c) {
			known = append(known, c)
		}
	}
	return known
}

// choices are the values of each preference, the default first.
var choices = map[string][]string{
	"theme": {"auto", "light", "dark"}, "zone": {"local", "utc"}, "density": {"normal", "compact"}, "keys": {"on", "off"},
}

const preferencesCookie = "console_preferences"

func preferencesOf(c echo.Context) preferences {
	chosen := map[string]string{}
	if cookie, err := c.Request().Cookie(preferencesCookie); err == nil {
		for pair := range strings.SplitSeq(cookie.Value, ".") {
			name, value, _ := strings.Cut(pair, "-")
			chosen[name] = value
		}
	}
	of := func(name string) string {
		if slices.Contains(choices[name], chosen[name]) {
			return chosen[name]
		}
		return choices[name][0]
	}
	return preferences{of("theme"), of("zone"), of("density"), of("keys"), hidden(strings.Split(chosen["without"], "+"))}
}

// setPreferences remembers what was chosen and goes back.
func (m *Module) setPreferences(c echo.Context) error {
	form, err := formOf(c)
	if err != nil {
		return err
	}
	p := preferencesOf(c)
	for name, field := range map[string]*string{"theme": &p.Theme, "zone": &p.Zone, "density": &p.Density, "keys": &p.Keys} {
		if value := form.Get(name); slices.Contains(choices[name], value) {
			*field = value
		}
	}
	if form.Has("columns") { // those that are chosen; the others are left out
		p.Hidden = hidden(slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return slices.Contains(form["column"], c) }))
	}
	value := "theme-" + p.Theme + ".zone-" + p.Zone + ".density-" + p.Density + ".keys-" + p.Keys
	if len(p.Hidden) > 0 {
		value += ".without-" + strings.Join(p.Hidden, "+")
	}
	const year = 365 * 24 * 3600
	//nolint:gosec // Secure except on the loopback without TLS
	c.SetCookie(&http.Cookie{Name: preferencesCookie, Value: value, Path: Root, MaxAge: year, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: !isLocal(c.Request()) || c.Request().TLS != nil})
	return c.Redirect(http.StatusSeeOther, localPath(form.Get("back")))
}
