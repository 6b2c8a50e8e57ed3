package console

import (
	"bytes"
	"compress/gzip"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/httpapi"
)

//go:embed all:templates
var templateFiles embed.FS

// templates are the screens by name, each with the layout and the partials.
type templates map[string]*template.Template

// page is what the layout shows.
type page struct {
	Title   string
	Section string // of the navigation
	Bare    bool   // without navigation: nobody is signed in, or that is not known
	Refresh string // where to go at once
	Notice  string // what was done
	Problem *problem
	Body    any

	Now         time.Time
	Path        string // where the preferences go back to
	Preferences preferences
	Version     string
	visit       *visit
}

// Operator reports whether the visitor may replay, cancel and release.
func (p page) Operator() bool { return p.visit != nil && p.visit.may(httpapi.Operator) }

// Admin reports whether the visitor may change integrations, destinations, secrets and keys.
func (p page) Admin() bool { return p.visit != nil && p.visit.may(httpapi.Admin) }

// Everywhere reports whether the visitor sees all sources.
func (p page) Everywhere() bool { return p.visit != nil && p.visit.everywhere() }

// Actor is the visitor's name, as in audit entries.
func (p page) Actor() string { return strings.TrimPrefix(p.visit.caller.Actor, "api-key:") }

// Role is the visitor's role.
func (p page) Role() string { return p.visit.caller.Role.String() }

// Sources are those that the visitor's key is restricted to.
func (p page) Sources() string { return strings.Join(p.visit.caller.Scope.Sources, ", ") }

// Columns are those of the list of events that may be left out.
func (p page) Columns() []string { return columns }

// Search is what the search box holds.
func (p page) Search() string {
	if list, is := p.Body.(eventsPage); is {
		return list.Filter.words()
	}
	return ""
}

// parse reads all templates. Partials are the files that begin with an underscore.
func (m *Module) parse() templates {
	base := template.New("layout").Funcs(m.functions())
	template.Must(base.ParseFS(templateFiles, "templates/_*.html"))
	all := templates{}
	files, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		panic("console: " + err.Error())
	}
	for _, file := range files {
		if name := path.Base(file); !strings.HasPrefix(name, "_") {
			own := template.Must(template.Must(base.Clone()).ParseFS(templateFiles, file))
			all[strings.TrimSuffix(name, ".html")] = own
		}
	}
	return all
}

// render answers with a page, which is complete before anything is sent.
func (m *Module) render(c echo.Context, status int, screen string, p page) error {
	p.Now, p.Path, p.Preferences, p.Version = m.d.Now(), c.Request().URL.RequestURI(), preferencesOf(c), m.cfg.Version
	if c.Request().Method != http.MethodGet {
		p.Path = Root
	}
	var text bytes.Buffer
	if err := m.pages[screen].ExecuteTemplate(&text, "layout", p); err != nil {
		return err
	}
	return sendPage(c, status, text.Bytes())
}

// sendPage packs a page that the browser takes packed. That tells nobody its content by its
// length (BREACH): another site's requests have no session, since the cookie is SameSite=Strict.
func sendPage(c echo.Context, status int, text []byte) error {
	c.Response().Header().Set("Vary", "Accept-Encoding")
	if strings.Contains(c.Request().Header.Get("Accept-Encoding"), "gzip") {
		c.Response().Header().Set("Content-Encoding", "gzip")
		text = packed(text, gzip.BestSpeed)
	}
	return c.HTMLBlob(status, text)
}

// section is the part of the navigation that a path belongs to.
func section(p string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(p, Root), "/"), "/")
	return name
}
