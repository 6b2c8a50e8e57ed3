package test

import (
	"flag"
	"fmt"
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

var update = flag.Bool("update", false, "update the files and lines of the modules in docs/architecture.md")

// children are the modules, and the packages below each.
var children = map[string][]string{
	"access": nil, "alerts": nil, "audit": nil, "console": nil, "delivery": {"destination", "destination/expression", "targets"}, "erasure": nil, "figures": nil, "follow": nil, "gauges": nil,
	"ingestion": {"spool"}, "integrations": nil, "processes": nil, "replay": {"bulk", "oneoff"}, "retention": nil, "secrets": nil, "verify": nil,
}

// mostFiles is the maximum number of files of a package, without tests.
const mostFiles = 45

// size is the number of files and lines of a folder, without tests.
type size struct{ files, lines int }

// packagesOf counts the Go files of each folder below root, and returns their text.
func packagesOf(t *testing.T, root string) (sizes map[string]size, text map[string]string) {
	t.Helper()
	sizes, text = map[string]size{}, map[string]string{}
	require.NoError(t, filepath.WalkDir(filepath.Join("..", root), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../")
		sizes[dir] = size{sizes[dir].files + 1, sizes[dir].lines + strings.Count(string(content), "\n")}
		text[dir] += string(content)
		return nil
	}))
	return sizes, text
}

func TestThereAreTheseModulesAndNoOthers(t *testing.T) {
	sizes, _ := packagesOf(t, "modules")
	var want []string
	for module, below := range children {
		want = append(want, "modules/"+module)
		for _, child := range below {
			want = append(want, "modules/"+module+"/"+child)
		}
	}
	var got []string
	for dir := range sizes {
		got = append(got, dir)
	}
	require.ElementsMatch(t, want, got, "add a new module to children, and to the table of docs/architecture.md")
}

func TestNoPackageIsTwo(t *testing.T) {
	for _, root := range []string{"modules", "platform"} {
		sizes, _ := packagesOf(t, root)
		for dir, s := range sizes {
			require.LessOrEqual(t, s.files, mostFiles, "files of %s", dir)
		}
	}
}

// moduleRow is a line of the table: module, files, lines, tables, interfaces.
var moduleRow = regexp.MustCompile(`(?m)^\| (\w+) \| (\d+) \| (\d+) \| (.*?) \| (.*) \|$`)

var (
	quoted        = regexp.MustCompile("`(\\w+)`")
	anInterface   = regexp.MustCompile(`(?m)^type ([A-Z]\w*) interface`)
	describedHead = regexp.MustCompile("(?m)^### `(\\w+)`\n\n(?:The )?(\\w+)")
)

// TestTheTableOfModulesIsComplete checks that the table lists the existing modules, their sizes
// within a tenth, their tables as in docs/domain-model.md, and the interfaces they need.
func TestTheTableOfModulesIsComplete(t *testing.T) {
	const path = "../docs/architecture.md"
	document, err := os.ReadFile(path)
	require.NoError(t, err)
	sizes, text := packagesOf(t, "modules")
	owns := map[string][]string{}
	for _, head := range describedHead.FindAllStringSubmatch(documents(t)["docs/domain-model.md"], -1) {
		module := strings.ToLower(head[2])
		owns[module] = append(owns[module], head[1])
	}
	rows := moduleRow.FindAllStringSubmatch(string(document), -1)
	require.Len(t, rows, len(children))
	for _, row := range rows {
		module, below := row[1], size{}
		require.Contains(t, children, module)
		var asks []string
		for dir, s := range sizes {
			if moduleOf(dir) == module {
				below = size{below.files + s.files, below.lines + s.lines}
				asks = append(asks, captured(anInterface, text[dir])...)
			}
		}
		if *update {
			counted := fmt.Sprintf("| %s | %d | %d | %s | %s |", module, below.files, below.lines, row[4], row[5])
			document = []byte(strings.Replace(string(document), row[0], counted, 1))
		} else {
			within10(t, module+"'s files", below.files, row[2])
			within10(t, module+"'s lines", below.lines, row[3])
		}
		require.ElementsMatch(t, owns[module], captured(quoted, row[4]), "the tables of %s", module)
		slices.Sort(asks) // a child package may need the same interfaces as its parent
		require.ElementsMatch(t, slices.Compact(asks), captured(quoted, row[5]), "the interfaces of %s", module)
	}
	if *update {
		require.NoError(t, os.WriteFile(path, document, 0o644)) //nolint:gosec // a document
	}
}

// captured returns the first group of each match, without duplicates.
func captured(pattern *regexp.Regexp, text string) (all []string) {
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(all, match[1]) {
			all = append(all, match[1])
		}
	}
	return all
}

func within10(t *testing.T, what string, have int, written string) {
	t.Helper()
	n, err := strconv.Atoi(written)
	require.NoError(t, err)
	require.InDelta(t, have, n, float64(have)/10+1, "%s: run this test with -update", what)
}
