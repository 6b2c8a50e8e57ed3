// Package test holds the tests of the whole system: its structure, and how its parts work
// together.
package test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "integration-gateway/"

// maxLines is the maximum length of a file.
const maxLines = 300

// drivers are the drivers' packages, each with the only folder that may import it.
var drivers = map[string]string{
	"github.com/lib/pq":                 "platform/database",
	"modernc.org/sqlite":                "platform/database",
	"github.com/rabbitmq/amqp091-go":    "platform/broker",
	"github.com/redis/go-redis":         "platform/cache",
	"github.com/golang-migrate/migrate": "platform/database",
	"go.opentelemetry.io/otel":          "platform/tracing",
}

// vocabulary lists the packages that everything may import, and what each may import in
// addition to the standard library.
var vocabulary = map[string][]string{
	"platform/contract": {module + "platform/clock", module + "platform/secret"},
	"platform/fault":    nil,
	"platform/clock":    nil,
	"platform/id":       {"github.com/google/uuid"},
	"platform/secret":   nil,
}

// readsTheClock are the files outside platform/clock that may call time.Now: each sets
// deadlines on connections, which use the machine's time.
var readsTheClock = map[string]bool{
	"platform/database/postgres_conn.go": true,
	"platform/broker/dial.go":            true,
	"scripts/probe/main.go":              true,
}

// selectsAll are the lines that may contain SELECT *: from an unnamed relation of
// parameters whose columns the same statement lists.
var selectsAll = map[string]string{
	"platform/database/postgres.go": "SELECT" + " * FROM unnest(",
}

func TestArchitecture(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != ".." && strings.HasPrefix(entry.Name(), ".") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel("..", path)
		if err != nil {
			return err
		}
		files++
		for _, violation := range violationsOf(t, filepath.ToSlash(name), string(text)) {
			t.Errorf("%s: %s", filepath.ToSlash(name), violation)
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, files, 50, "the walk found the repository")
}

func TestExceptionsAreNeeded(t *testing.T) {
	for name := range readsTheClock {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", name), nil, 0)
		require.NoError(t, err)
		require.True(t, uses(file, "time", "Now"), "%s no longer calls time.Now", name)
	}
	for name, line := range selectsAll {
		text, err := os.ReadFile(filepath.Join("..", name))
		require.NoError(t, err)
		require.Contains(t, string(text), line)
	}
}

// violationsOf lists the rules that a file breaks. name is its path from the root.
func violationsOf(t *testing.T, name, text string) []string {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.ParseComments)
	require.NoError(t, err, name)
	var found []string
	add := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }

	isTest := strings.HasSuffix(name, "_test.go")
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		require.NoError(t, err)
		if reason := importViolation(name, path, isTest); reason != "" {
			add("imports %s: %s", path, reason)
		}
	}
	switch file.Name.Name {
	case "util", "utils", "common", "helpers", "helper", "models", "model", "misc", "shared":
		add("package %s is not named for what it knows", file.Name.Name)
	}
	if lines := strings.Count(text, "\n"); lines > maxLines && !isTest {
		add("%d lines; the maximum is %d", lines, maxLines)
	}
	if !isTest && folder(name) != "platform/clock" && !readsTheClock[name] && uses(file, "time", "Now") {
		add("calls time.Now: take a clock.Now")
	}
	if isTest && uses(file, "time", "Sleep") {
		add("calls time.Sleep: wait on a signal")
	}
	if folder(name) == "platform/contract" && strings.Contains(text, `db:"`) {
		add("maps columns: rows belong to their module")
	}
	if selectAll(file, selectsAll[name]) {
		add("selects *: list the columns")
	}
	return found
}

// importViolation says why the file name may not import path, or returns "".
func importViolation(name, path string, isTest bool) string {
	from, own := folder(name), strings.HasPrefix(path, module)
	to := strings.TrimPrefix(path, module)
	if allowed, ok := vocabulary[from]; ok && !isTest && (own || strings.Contains(strings.SplitN(path, "/", 2)[0], ".")) {
		if !contains(allowed, path) {
			return "the vocabulary imports only the standard library"
		}
	}
	if !own {
		for driver, home := range drivers {
			if within(path, driver) && !isTest && from != home && from != "platform/testkit" && from != "scripts/probe" {
				return "only " + home + " may import this driver"
			}
		}
		return ""
	}
	switch a, b := moduleOf(from), moduleOf(to); {
	case a != "" && b != "" && a != b:
		return "modules do not import each other"
	case a != "" && above(to):
		return "modules are below app and cli"
	case kit(from) && (b != "" || above(to)):
		return "the kit is below the modules, app and cli"
	case within(from, "platform/app") && within(to, "platform/cli"):
		return "app is below cli"
	case b != "" && !isTest && !within(from, "platform/app") && a == "":
		return "only app wires modules"
	case to == "platform/testkit" && !isTest && from != "platform/testkit":
		return "testkit is never linked into the binary"
	}
	return ""
}

func folder(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return "."
}

// moduleOf returns "delivery" for modules/delivery and everything below it.
func moduleOf(folder string) string {
	rest, ok := strings.CutPrefix(folder, "modules/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func above(folder string) bool {
	return within(folder, "platform/app") || within(folder, "platform/cli")
}

func kit(folder string) bool { return within(folder, "platform") && !above(folder) }

func within(path, parent string) bool { return path == parent || strings.HasPrefix(path, parent+"/") }

func contains(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}

// uses reports whether file mentions pkg.name, of a package imported under its own name.
func uses(file *ast.File, pkg, name string) bool {
	found := false
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == name {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg {
				found = true
			}
		}
		return !found
	})
	return found
}

var selectStar = regexp.MustCompile(`(?i)\bselect\s+(distinct\s+)?(\w+\.)?\*`)

// selectAll reports whether a string contains SELECT *, other than the excepted text.
func selectAll(file *ast.File, except string) bool {
	found := false
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		text := lit.Value
		if except != "" {
			text = strings.ReplaceAll(text, except, "")
		}
		found = found || selectStar.MatchString(text)
		return true
	})
	return found
}
