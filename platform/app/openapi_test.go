package app

import (
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/openapi"
	"integration-gateway/platform/strictjson"
	"integration-gateway/platform/testkit"
	"integration-gateway/platform/testkit/described"
)

var updateDocuments = flag.Bool("update", false, "write docs/openapi.json and the generated parts of docs/api-overview.md")

func TestMain(m *testing.M) {
	http.DefaultClient.Transport = testkit.CheckedTransport{RoundTripper: http.DefaultTransport}
	os.Exit(testkit.ReportChecked(m))
}

// wired returns a gateway that is not started.
func wired(t *testing.T) *system {
	t.Helper()
	g, err := wire(devConfig(t), &stores{db: testkit.Open(t, testkit.SQLite(t)), broker: broker.NewMemory(clock.System, nil), cache: cache.NewMemory(0, clock.System)}, quiet)
	require.NoError(t, err)
	return g
}

// kept compares a generated file with the one in the repository, or writes it.
func kept(t *testing.T, path, text string) {
	t.Helper()
	path = filepath.Join("..", "..", path)
	if *updateDocuments {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return
	}
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(old), text, "run go test ./platform/app -run TestTheDescription -update, and review the change")
}

// TestTheDescriptionIsKept holds that a change of the API shows in review, and that the
// document is one of OpenAPI 3.1.
func TestTheDescriptionIsKept(t *testing.T) {
	g := wired(t)
	text := openapi.Document(g.allRoutes())
	kept(t, testkit.Document, string(text))

	document, err := described.Open(text)
	require.NoError(t, err)
	require.Empty(t, document.Self())

	w := httptest.NewRecorder()
	g.manager.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/openapi.json", nil))
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, string(text), w.Body.String(), "the server answers the same")
}

// TestTheOverviewIsKept holds that docs/api-overview.md says of each route what the program does.
func TestTheOverviewIsKept(t *testing.T) {
	const path = "docs/api-overview.md"
	page, err := os.ReadFile(filepath.Join("..", "..", path))
	require.NoError(t, err)
	text, err := openapi.Overview(string(page), wired(t).allRoutes())
	require.NoError(t, err)
	kept(t, path, text)
}

// TestTheDescriptionHasEveryRoute compares the document with the routes of the router.
func TestTheDescriptionHasEveryRoute(t *testing.T) {
	g := wired(t)
	var document struct {
		Paths map[string]map[string]struct {
			Role string `json:"x-role"`
		}
	}
	require.NoError(t, json.Unmarshal(openapi.Document(g.allRoutes()), &document))
	written := map[string]string{}
	for path, methods := range document.Paths {
		for method, operation := range methods {
			written[strings.ToUpper(method)+" "+regexp.MustCompile(`\{(\w+)\}`).ReplaceAllString(path, ":$1")] = operation.Role
		}
	}
	routed := map[string]string{}
	for _, route := range g.allRoutes() {
		routed[route.Method+" "+route.Path] = route.Role.String()
	}
	require.Equal(t, routed, written)
}

// TestEveryRouteIsDescribed holds that a route says what it does and answers, and that its
// example is a body that it accepts.
func TestEveryRouteIsDescribed(t *testing.T) {
	for _, route := range wired(t).allRoutes() {
		name := route.Method + " " + route.Path
		require.Regexp(t, `^[A-Z].*\.$`, route.Spec.Summary, name)
		require.NotEmpty(t, route.Spec.Answers, name)
		for _, p := range route.Spec.Query {
			require.NotEmpty(t, p.Doc, "%s: %s", name, p.Name)
		}
		if route.Spec.Body == nil || route.Spec.Example == "" {
			continue
		}
		body := reflect.New(reflect.TypeOf(route.Spec.Body))
		require.Empty(t, strictjson.Read([]byte(route.Spec.Example), body.Interface()), name)
		if checked, is := body.Interface().(httpapi.Checked); is {
			require.Empty(t, checked.Mistakes(), name)
		}
	}
}

// TestTheExamplesAreAsDescribed compares every example in the document with its schema.
func TestTheExamplesAreAsDescribed(t *testing.T) {
	type media map[string]struct{ Example json.RawMessage }
	var document struct {
		Paths map[string]map[string]struct {
			RequestBody struct{ Content media }
			Responses   map[string]struct{ Content media }
		}
	}
	require.NoError(t, json.Unmarshal(openapi.Document(wired(t).allRoutes()), &document))
	examples := 0
	for path, methods := range document.Paths {
		path = regexp.MustCompile(`\{(\w*[iI]d)\}`).ReplaceAllString(path, id.New())
		path = regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "acme")
		for method, operation := range methods {
			r := httptest.NewRequest(strings.ToUpper(method), path, http.NoBody)
			r.Header.Set("X-Internal-Api-Key", "any")
			r.Header.Set("Content-Type", "application/json")
			for code, response := range operation.Responses {
				if code == "2XX" || code == "4XX" { // as a provider's definition says
					require.Nil(t, response.Content["application/json"].Example)
					continue
				}
				status, err := strconv.Atoi(code)
				require.NoError(t, err)
				if example := response.Content["application/json"].Example; example != nil {
					examples++
					require.NoError(t, testkit.Agrees(r, operation.RequestBody.Content["application/json"].Example, status,
						http.Header{"Content-Type": {"application/json"}}, example))
				}
			}
		}
	}
	require.Greater(t, examples, 40)
}

// TestTheReferencePage holds that the page shows every route and runs nothing.
func TestTheReferencePage(t *testing.T) {
	g := wired(t)
	w := httptest.NewRecorder()
	g.manager.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/docs", nil))
	require.Equal(t, http.StatusOK, w.Code)
	text, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	for _, route := range g.allRoutes() {
		path := regexp.MustCompile(`:(\w+)`).ReplaceAllString(route.Path, "{$1}")
		require.Contains(t, text, "<h3><code>"+route.Method+" "+path+"</code></h3>")
	}
	require.NotContains(t, text, "<script")
	require.NotContains(t, text, "ZgotmplZ", "the template refused a value")
	require.NotRegexp(t, `(?:src|href)="(?:https?:)?//`, text, "nothing foreign is loaded")
	require.NotRegexp(t, ` on\w+=| style=`, text)
	require.Regexp(t, `^default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$`, policy)
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(text)
	require.NotEmpty(t, style)
	require.Contains(t, policy, openapi.HashOf(style[1]), "the policy allows the style that the page has")
}
