package test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestArchitectureCanFail feeds the rules files that break them, and their neighbours
// that do not: a rule that cannot fail guards nothing.
func TestArchitectureCanFail(t *testing.T) {
	imports := func(path string) string { return "package p\n\nimport _ \"" + path + "\"\n" }
	const own = "integration-gateway/"
	// The queries are put together here so that this file breaks no rule itself.
	star := func(list string) string { return "package p\n\nconst q = `SELECT " + list + " FROM events`\n" }
	for _, c := range []struct {
		name, file, text, offence string // "" for none
	}{
		{"a module imports another", "modules/replay/x.go", imports(own + "modules/delivery"), "modules do not import each other"},
		{"a folder of a module imports another", "modules/ingestion/provider/x.go", imports(own + "modules/audit"), "modules do not import each other"},
		{"a module's test imports another", "modules/replay/x_test.go", imports(own + "modules/delivery"), "modules do not import each other"},
		{"a module imports its own folder", "modules/ingestion/x.go", imports(own + "modules/ingestion/provider"), ""},
		{"a module imports the kit", "modules/replay/x.go", imports(own + "platform/database"), ""},
		{"a module imports app", "modules/replay/x.go", imports(own + "platform/app"), "modules stand below app and cli"},
		{"the kit imports a module", "platform/broker/x.go", imports(own + "modules/delivery"), "the kit stands below"},
		{"the kit imports app", "platform/httpapi/x.go", imports(own + "platform/app"), "the kit stands below"},
		{"the kit imports cli", "platform/config/x.go", imports(own + "platform/cli"), "the kit stands below"},
		{"app imports a module", "platform/app/x.go", imports(own + "modules/delivery"), ""},
		{"app imports cli", "platform/app/x.go", imports(own + "platform/cli"), "app stands below cli"},
		{"cli imports app", "platform/cli/x.go", imports(own + "platform/app"), ""},
		{"cli imports a module", "platform/cli/x.go", imports(own + "modules/delivery"), "app alone wires modules"},
		{"main imports a module", "main.go", imports(own + "modules/delivery"), "app alone wires modules"},
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
		{"a package that knows nothing", "platform/x/x.go", "package util\n", "not named for what it knows"},
		{"a file of 300 lines", "platform/x/x.go", "package p\n" + strings.Repeat("\n", 299), ""},
		{"a file of 301 lines", "platform/x/x.go", "package p\n" + strings.Repeat("\n", 300), "301 lines"},
		{"a test of 301 lines", "platform/x/x_test.go", "package p\n" + strings.Repeat("\n", 300), ""},
		{"a module reads the clock", "modules/audit/x.go", "package p\n\nvar t = time.Now()\n", "take a clock.Now"},
		{"a module hands the clock on", "modules/audit/x.go", "package p\n\nvar now = time.Now\n", "take a clock.Now"},
		{"the clock reads the clock", "platform/clock/x.go", "package p\n\nvar t = time.Now()\n", ""},
		{"a test reads the clock", "modules/audit/x_test.go", "package p\n\nvar t = time.Now()\n", ""},
		{"a comment speaks of the clock", "modules/audit/x.go", "package p\n\n// time.Now is elsewhere.\n", ""},
		{"a test sleeps", "modules/audit/x_test.go", "package p\n\nfunc f() { time.Sleep(1) }\n", "wait on a signal"},
		{"all columns", "modules/audit/x.go", star("*"), "list the columns"},
		{"all columns of one table", "modules/audit/x.go", star("e.*"), "list the columns"},
		{"a count", "modules/audit/x.go", star("count(*)"), ""},
		{"columns", "modules/audit/x.go", star("id, source"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := offencesOf(t, c.file, c.text)
			if c.offence == "" {
				require.Empty(t, found)
				return
			}
			require.Len(t, found, 1)
			require.Contains(t, found[0], c.offence)
		})
	}
}
