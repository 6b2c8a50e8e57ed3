package console

import (
	"bytes"
	"compress/gzip"
	"embed"
	"github.com/DataDog/datadog-agent/pkg/template/html"
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

	Operator   bool     // the visitor may replay, cancel and release
	Admin      bool     // the visitor may change integrations, destinations, secrets and keys
	Everywhere bool     // the visitor sees all sources
	Actor      string   // the visitor's name, as in audit entries
	Role       string   // the visitor's
	Sources    string   // those that the visitor's key is restricted to
	Columns    []string // of the list of events, those that may be left out
	Search     string   // what the search box holds
}

// know fills in what the layout shows of the visitor.
func (p *page) know() {
	p.Columns = columns
	if list, is := p.Body.(eventsPage); is {
		if p.Search = list.Filter.words(); p.Search == "" {
			p.Search = list.Found
		}
	}
	if p.visit == nil {
		return
	}
	p.Operator, p.Admin, p.Everywhere = p.visit.may(httpapi.Operator), p.visit.may(httpapi.Admin), p.visit.everywhere()
	p.Actor = strings.TrimPrefix(p.visit.caller.Actor, "api-key:")
	p.Role = p.visit.caller.Role.String()
	if !p.Everywhere {
		p.Sources = strings.Join(p.visit.caller.Scope.Sources, ", ")
	}
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
	p.know()
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
