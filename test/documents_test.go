package test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// documents returns the text of the pages at the top level and of everything in docs, by
// path from the root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	texts := map[string]string{}
	for _, path := range append(paths, "../README.md", "../CONTRIBUTING.md", "../CHANGELOG.md", "../SECURITY.md") {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		texts[strings.TrimPrefix(filepath.ToSlash(path), "../")] = string(text)
	}
	require.Greater(t, len(texts), 5)
	return texts
}

// sources returns the text of every Go file, by path.
func sources(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	require.NoError(t, filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		texts[filepath.ToSlash(path)] = string(text)
		return err
	}))
	return texts
}

// matches returns what the first group of pattern matches in text.
func matches(pattern, text string) []string {
	var found []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

// TestTheDocumentListsEverySetting compares docs/configuration.md with
// configs/gateway.yaml, which a test of platform/config compares with the code.
func TestTheDocumentListsEverySetting(t *testing.T) {
	type entry struct{ name, fallback string }
	file, err := os.ReadFile("../configs/gateway.yaml")
	require.NoError(t, err)
	var want, got []entry
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9_]+):[ ]*(.*)$`).FindAllStringSubmatch(string(file), -1) {
		want = append(want, entry{strings.ToUpper(m[1]), m[2]})
	}
	require.NotEmpty(t, want)
	for _, m := range regexp.MustCompile("(?m)^### `([A-Z0-9_]+)`\n\n\\*[^*\n]+?(?:; default `([^`]+)`|; unset: [^*]+)\\.\\*.*\n\n.+$").FindAllStringSubmatch(documents(t)["docs/configuration.md"], -1) {
		got = append(got, entry{m[1], m[2]})
	}
	require.Equal(t, want, got)
}

func TestDocumentsNameTestsThatExist(t *testing.T) {
	var declared []string
	for path, text := range sources(t) {
		if strings.HasSuffix(path, "_test.go") {
			declared = append(declared, matches(`(?m)^func (Test\w+)\(`, text)...)
		}
	}
	named := 0
	for document, text := range documents(t) {
		for _, name := range matches("`(Test[A-Z]\\w*)`", text) {
			named++
			require.True(t, slices.Contains(declared, name), "%s names %s, but there is no such test", document, name)
		}
	}
	require.Positive(t, named)
}

// TestDocumentsLinkToWhatExists follows links within the repository, including to headings.
func TestDocumentsLinkToWhatExists(t *testing.T) {
	texts := documents(t)
	for document, text := range texts {
		for _, link := range matches(`\]\(([^)\s]+)\)`, text) {
			if strings.Contains(link, "://") {
				continue
			}
			path, heading, hasHeading := strings.Cut(link, "#")
			target := document
			if path != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(document), path))
				_, err := os.Stat(filepath.Join("..", target))
				require.NoError(t, err, "%s links to %s", document, link)
			}
			if hasHeading {
				require.Contains(t, anchors(texts[target]), heading, "%s links to %s", document, link)
			}
		}
	}
}

// anchors returns the link targets of a page's headings.
func anchors(text string) []string {
	var names []string
	for _, heading := range matches(`(?m)^#+ (.+)$`, text) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

// TestEveryRouteIsDocumented compares the sections with docs/openapi.json, which a test of
// platform/app compares with the routes.
func TestEveryRouteIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/openapi.json")
	require.NoError(t, err)
	var document struct{ Paths map[string]map[string]any }
	require.NoError(t, json.Unmarshal(text, &document))
	var routes []string
	for path, methods := range document.Paths {
		if below, is := strings.CutPrefix(path, "/api/v1"); is {
			for method := range methods {
				routes = append(routes, strings.ToUpper(method)+" "+regexp.MustCompile(`\{(\w+)\}`).ReplaceAllString(below, ":$1"))
			}
		}
	}
	described := matches("(?m)^### `([A-Z]+ /[^`]*)`$", documents(t)["docs/api-overview.md"])
	require.ElementsMatch(t, routes, described)
}

func TestEveryTableIsDocumented(t *testing.T) {
	var tables []string
	files, err := filepath.Glob("../migrations/postgres/*.up.sql")
	require.NoError(t, err)
	for _, path := range files {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		tables = append(tables, matches(`(?m)^CREATE TABLE (\w+)`, string(text))...)
	}
	described := matches("(?m)^### `(\\w+)`$", documents(t)["docs/domain-model.md"])
	slices.Sort(tables)
	slices.Sort(described)
	require.Equal(t, tables, described)
}

// TestContributingSaysWhereThingsGo: every file in the table exists, and there are at least
// twenty changes.
func TestContributingSaysWhereThingsGo(t *testing.T) {
	rows := matches("(?m)^\\| [^|]+ \\| (.*\\.go`.*) \\|$", documents(t)["CONTRIBUTING.md"])
	require.GreaterOrEqual(t, len(rows), 20)
	for _, row := range rows {
		for _, path := range matches("`([^`]+\\.go)`", row) {
			require.FileExists(t, "../"+path)
		}
	}
}

// TestGuaranteesNameScenariosThatExist compares the scenarios in docs/guarantees.md, and
// their number in the pages, with those in docs/reliability.md.
func TestGuaranteesNameScenariosThatExist(t *testing.T) {
	_, described, _ := strings.Cut(documents(t)["docs/reliability.md"], "\n## The scenarios\n")
	known := matches(`(?m)^\| ([a-z0-9]+-[a-z0-9-]+) \| `, described)
	for page, pattern := range map[string]string{"README.md": `under (\d+) kinds of fault`, "docs/guarantees.md": `runs: (\d+) faults`} {
		require.Equal(t, []string{strconv.Itoa(len(known))}, matches(pattern, documents(t)[page]), page)
	}
	named := 0
	for _, cell := range matches(`scenarios? ([^|]+) \|`, documents(t)["docs/guarantees.md"]) {
		for _, pattern := range matches("`([a-z0-9*-]+)`", cell) {
			named++
			require.True(t, slices.ContainsFunc(known, func(name string) bool {
				matched, err := filepath.Match(pattern, name)
				return err == nil && matched
			}), "no scenario %s", pattern)
		}
	}
	require.Greater(t, named, 10)
}
