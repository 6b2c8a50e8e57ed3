package test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// documents gives the text of the README and of everything in docs, by path from the root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../docs/*.md")
	require.NoError(t, err)
	texts := map[string]string{}
	for _, path := range append(paths, "../README.md") {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		texts[strings.TrimPrefix(filepath.ToSlash(path), "../")] = string(text)
	}
	require.Greater(t, len(texts), 5)
	return texts
}

// sources gives the text of every Go file, by path.
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

// matches gives what the first group of pattern finds in text.
func matches(pattern, text string) []string {
	var found []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

// TestTheReadmeListsEverySetting holds the README's table against configs/gateway.yaml,
// which a test of platform/config holds against the code.
func TestTheReadmeListsEverySetting(t *testing.T) {
	type row struct{ name, fallback string }
	file, err := os.ReadFile("../configs/gateway.yaml")
	require.NoError(t, err)
	var want, got []row
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9_]+):[ ]*(.*)$`).FindAllStringSubmatch(string(file), -1) {
		want = append(want, row{strings.ToUpper(m[1]), m[2]})
	}
	require.NotEmpty(t, want)
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z0-9_]+)` \\| (?:`([^`]+)`|–) \\| .+ \\|$").FindAllStringSubmatch(documents(t)["README.md"], -1) {
		got = append(got, row{m[1], m[2]})
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
			require.Contains(t, declared, name, document)
		}
	}
	require.Positive(t, named)
}

// TestDocumentsLinkToWhatExists follows links within the repository, to a heading where
// one is named.
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

// anchors gives the names under which a page's headings are linked to.
func anchors(text string) []string {
	var names []string
	for _, heading := range matches(`(?m)^#+ (.+)$`, text) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	return names
}

func TestEveryRouteIsDocumented(t *testing.T) {
	// These are registered by other words than the modules'.
	routes := []string{"GET /health", "POST /internal/delivery-sink/:provider"}
	for path, text := range sources(t) {
		if strings.HasPrefix(path, "../modules/") && !strings.HasSuffix(path, "_test.go") {
			for _, m := range regexp.MustCompile(`\.(?:Public|Viewer|Operator|Admin)(?:\.Scoped\(\))?\.(GET|HEAD|POST|PUT|PATCH|DELETE)\("([^"]+)"`).FindAllStringSubmatch(text, -1) {
				routes = append(routes, m[1]+" "+m[2])
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
