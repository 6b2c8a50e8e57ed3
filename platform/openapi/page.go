package openapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"github.com/DataDog/datadog-agent/pkg/template/html"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/httpapi"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"style": func() template.CSS { return template.CSS(pageStyle) }, //nolint:gosec // embedded
	"role":  roleText,
	"code":  strconv.Itoa,
	"type":  typeText,
}).Parse(pageText))

// policy allows the page's own style and nothing else: no script, no font, no picture.
func policy() string {
	return "default-src 'none'; style-src '" + HashOf(pageStyle) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// HashOf is a text's hash as a content security policy names it.
func HashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

var (
	documentSpec = httpapi.Spec{
		Summary: "The API's description, as OpenAPI 3.1.", Raw: true, Media: jsonType,
		Answers: []httpapi.Answer{{Status: http.StatusOK, Shape: httpapi.Other}},
	}
	pageSpec = httpapi.Spec{
		Summary: "The API's description, as a page.", Raw: true, Media: "text/html",
		Answers: []httpapi.Answer{{Status: http.StatusOK, Shape: httpapi.Other}},
	}
)

// Register adds the routes of the description, which is of all routes at the first request.
// They need no credential: they say what the program's source says, and nothing of its data.
func Register(r httpapi.Group, routes func() []httpapi.Route) {
	document := sync.OnceValue(func() []byte { return Document(routes()) })
	html := sync.OnceValues(func() ([]byte, error) { return Page(routes()) })
	r.GET("/openapi.json", func(c echo.Context) error {
		return c.Blob(http.StatusOK, jsonType, document())
	}, documentSpec)
	r.GET("/docs", func(c echo.Context) error {
		text, err := html()
		if err != nil {
			return err
		}
		c.Response().Header().Set("Content-Security-Policy", policy())
		return c.HTMLBlob(http.StatusOK, text)
	}, pageSpec)
}

// entry is a route as the page shows it.
type entry struct {
	httpapi.Route
	ID        string
	Path      string
	Params    []httpapi.Param
	Body      string // an example
	Answers   []answer
	ErrorText string
}

type answer struct {
	Status  int
	When    string
	Example string
}

// Page returns the reference page of these routes.
func Page(routes []httpapi.Route) ([]byte, error) {
	d := describe(routes)
	data := struct {
		Groups []group
		Errors []failed
	}{Errors: failedAnswers()}
	for _, r := range routes {
		tag, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.Path, httpapi.Base), "/"), "/")
		i := slices.IndexFunc(data.Groups, func(g group) bool { return g.Name == tag })
		if i < 0 {
			i, data.Groups = len(data.Groups), append(data.Groups, group{Name: tag})
		}
		data.Groups[i].Routes = append(data.Groups[i].Routes, d.entry(r))
	}
	var text bytes.Buffer
	if err := page.Execute(&text, data); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

type group struct {
	Name   string
	Routes []entry
}

type failed struct {
	Status            int
	Code, Description string
}

func failedAnswers() []failed {
	var all []failed
	for _, f := range failures {
		all = append(all, failed{httpapi.StatusOf(f.kind), httpapi.CodeOf(f.kind), f.description})
	}
	return all
}

func (d *described) entry(r httpapi.Route) entry {
	e := entry{Route: r, ID: operationID(r), Path: templated(r.Path), Params: r.Spec.Query}
	if body := d.body(r); body != nil {
		for _, content := range body["content"].(schema) {
			e.Body = indented(content.(schema)["example"])
		}
	}
	responses := d.responses(r)
	for _, a := range r.Spec.Answers {
		shown := answer{Status: a.Status, When: a.When}
		if content, is := responses[strconv.Itoa(a.Status)].(schema)["content"].(schema); is {
			if media, is := content[jsonType].(schema); is && media["example"] != nil {
				shown.Example = indented(media["example"])
			}
		}
		e.Answers = append(e.Answers, shown)
	}
	e.ErrorText = strings.Join(statusesOf(r), ", ")
	return e
}

// statusesOf returns the statuses of the errors that a route may answer with.
func statusesOf(r httpapi.Route) (statuses []string) {
	seen := map[int]bool{}
	for _, f := range failures {
		for _, kind := range errorsOf(r) {
			if status := httpapi.StatusOf(kind); kind == f.kind && !seen[status] {
				seen[status], statuses = true, append(statuses, strconv.Itoa(status))
			}
		}
	}
	return statuses
}

func indented(value any) string {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return "" // examples are of plain values
	}
	return string(text)
}

// roleText says which credential a route needs.
func roleText(r httpapi.Route) string {
	switch {
	case r.Role == 0:
		return "public"
	case r.Scoped:
		return r.Role.String()
	}
	return r.Role.String() + ", without sources"
}

// typeText says what a parameter may be.
func typeText(p httpapi.Param) string {
	text := string(p.Kind)
	switch p.Kind {
	case httpapi.KindEnum:
		text = strings.Join(p.Allowed, ", ")
	case httpapi.KindInt:
		text = "a whole number from " + strconv.Itoa(p.Low) + " to " + strconv.Itoa(p.High)
	case httpapi.KindTime:
		text = "an RFC 3339 time"
	case httpapi.KindUUID:
		text = "a UUID"
	case httpapi.KindBool:
		text = "true or false"
	case httpapi.KindText, httpapi.KindSource, httpapi.KindCursor:
		text = "text"
	}
	if p.Default != "" {
		text += "; " + p.Default + " if absent"
	}
	return text
}
