package test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestArchitectureCanFail checks the rules with files that break them, and similar ones
// that do not: a rule that cannot fail is useless.
func TestArchitectureCanFail(t *testing.T) {
	imports := func(path string) string { return "package p\n\nimport _ \"" + path + "\"\n" }
	const own = "integration-gateway/"
	// The queries are assembled here so that this file breaks no rule itself.
	star := func(list string) string { return "package p\n\nconst q = `SELECT " + list + " FROM events`\n" }
	for _, c := range []struct {
		name, file, text, violation string // "" for none
	}{
		{"a module imports another", "modules/replay/x.go", imports(own + "modules/delivery"), "modules do not import each other"},
		{"a folder of a module imports another", "modules/delivery/expression/x.go", imports(own + "modules/audit"), "modules do not import each other"},
		{"a module's test imports another", "modules/replay/x_test.go", imports(own + "modules/delivery"), "modules do not import each other"},
		{"a module imports its own folder", "modules/delivery/x.go", imports(own + "modules/delivery/expression"), ""},
		{"a module imports the kit", "modules/replay/x.go", imports(own + "platform/database"), ""},
		{"a module imports app", "modules/replay/x.go", imports(own + "platform/app"), "modules are below app and cli"},
		{"the kit imports a module", "platform/broker/x.go", imports(own + "modules/delivery"), "the kit is below"},
		{"the kit imports app", "platform/httpapi/x.go", imports(own + "platform/app"), "the kit is below"},
		{"the kit imports cli", "platform/config/x.go", imports(own + "platform/cli"), "the kit is below"},
		{"app imports a module", "platform/app/x.go", imports(own + "modules/delivery"), ""},
		{"app imports cli", "platform/app/x.go", imports(own + "platform/cli"), "app is below cli"},
		{"cli imports app", "platform/cli/x.go", imports(own + "platform/app"), ""},
		{"cli imports a module", "platform/cli/x.go", imports(own + "modules/delivery"), "only app wires modules"},
		{"main imports a module", "main.go", imports(own + "modules/delivery"), "only app wires modules"},
		{"contract imports clock", "platform/contract/x.go", imports(own + "platform/clock"), ""},
		{"contract imports the database", "platform/contract/x.go", imports(own + "platform/database"), "the vocabulary"},
		{"fault imports a library", "platform/fault/x.go", imports("github.com/labstack/echo/v4"), "the vocabulary"},
		{"fault imports the standard library", "platform/fault/x.go", imports("net/http"), ""},
		{"id imports uuid", "platform/id/x.go", imports("github.com/google/uuid"), ""},
		{"secret imports uuid", "platform/secret/x.go", imports("github.com/google/uuid"), "the vocabulary"},
		{"database imports lib/pq", "platform/database/x.go", imports("github.com/lib/pq"), ""},
		{"app imports lib/pq", "platform/app/x.go", imports("github.com/lib/pq"), "only platform/database"},
		{"a module imports SQLite", "modules/audit/x.go", imports("modernc.org/sqlite/lib"), "only platform/database"},
		{"a module imports amqp091", "modules/delivery/x.go", imports("github.com/rabbitmq/amqp091-go"), "only platform/broker"},
		{"the broker imports Redis", "platform/broker/x.go", imports("github.com/redis/go-redis/v9"), "only platform/cache"},
		{"cache imports Redis", "platform/cache/x.go", imports("github.com/redis/go-redis/v9"), ""},
		{"a test imports testkit", "modules/audit/x_test.go", imports(own + "platform/testkit"), ""},
		{"a program imports testkit", "modules/audit/x.go", imports(own + "platform/testkit"), "never linked"},
		{"the kit imports testkit", "platform/cache/x.go", imports(own + "platform/testkit"), "never linked"},
		{"a package with a meaningless name", "platform/x/x.go", "package util\n", "not named for what it knows"},
		{"a file of 300 lines", "platform/x/x.go", "package p\n" + strings.Repeat("\n", 299), ""},
		{"a file of 301 lines", "platform/x/x.go", "package p\n" + strings.Repeat("\n", 300), "301 lines"},
		{"a test of 301 lines", "platform/x/x_test.go", "package p\n" + strings.Repeat("\n", 300), ""},
		{"a module reads the clock", "modules/audit/x.go", "package p\n\nvar t = time.Now()\n", "take a clock.Now"},
		{"a module passes the clock on", "modules/audit/x.go", "package p\n\nvar now = time.Now\n", "take a clock.Now"},
		{"the clock reads the clock", "platform/clock/x.go", "package p\n\nvar t = time.Now()\n", ""},
		{"a test reads the clock", "modules/audit/x_test.go", "package p\n\nvar t = time.Now()\n", ""},
		{"a comment mentions the clock", "modules/audit/x.go", "package p\n\n// time.Now is elsewhere.\n", ""},
		{"a test sleeps", "modules/audit/x_test.go", "package p\n\nfunc f() { time.Sleep(1) }\n", "wait on a signal"},
		{"all columns", "modules/audit/x.go", star("*"), "list the columns"},
		{"all columns of one table", "modules/audit/x.go", star("e.*"), "list the columns"},
		{"a count", "modules/audit/x.go", star("count(*)"), ""},
		{"columns", "modules/audit/x.go", star("id, source"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := violationsOf(t, c.file, c.text)
			if c.violation == "" {
				require.Empty(t, found)
				return
			}
			require.Len(t, found, 1)
			require.Contains(t, found[0], c.violation)
		})
	}
}
