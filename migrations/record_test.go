package migrations_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/migrations"
	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

var update = flag.Bool("update", false, "record the objects of each version again")

// TestTheObjectsOfEachVersionAreRecorded holds the .schema files, which programs compare a
// database with.
func TestTheObjectsOfEachVersionAreRecorded(t *testing.T) {
	testkit.EachEmptyStore(t, func(t *testing.T, open func() *database.DB) {
		ctx, db := context.Background(), open()
		engine := db.Dialect.Name
		require.NoError(t, db.MigrateUp())
		steps, err := migrations.Steps(migrations.Files, engine)
		require.NoError(t, err)
		objects := map[uint][]string{0: nil}
		for _, step := range slices.Backward(steps) {
			objects[step.Version], err = db.Objects(ctx)
			require.NoError(t, err)
			require.NoError(t, db.MigrateDown(1))
		}
		before := uint(0)
		for _, step := range steps {
			text := changes(objects[before], objects[step.Version])
			before = step.Version
			require.NotEmpty(t, text, "migration %d changes nothing that can be seen: what a kill in the middle left could not be told", step.Version)
			name := fmt.Sprintf("%s/%06d_%s.schema", engine, step.Version, step.Name)
			if *update {
				require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
			}
			recorded, err := os.ReadFile(name)
			require.NoError(t, err)
			require.Equal(t, text, string(recorded), "migrations/%s; to record it: go test ./migrations -run Recorded -update", name)
		}
	})
}

func changes(before, after []string) string {
	var b strings.Builder
	for _, object := range before {
		if !slices.Contains(after, object) {
			b.WriteString("- " + object + "\n")
		}
	}
	for _, object := range after {
		if !slices.Contains(before, object) {
			b.WriteString("+ " + object + "\n")
		}
	}
	return b.String()
}

// The first lines of a migration's PostgreSQL file.
const head = `-- Change: what it does, in a few words
-- Locks: nothing, or the tables and how long
-- Min reader: the lowest version whose programs work on the result

`

var headPattern = regexp.MustCompile(`^-- Change: .+\n-- Locks: .+\n-- Min reader: \d+\n`)

// locking finds the tables that a statement locks against writes or reads, if they are not
// new.
var locking = []*regexp.Regexp{
	regexp.MustCompile(`(?is)^ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(\w+)`),
	regexp.MustCompile(`(?is)^DROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?(\w+)`),
	regexp.MustCompile(`(?is)^(?:UPDATE|DELETE\s+FROM|INSERT\s+INTO|TRUNCATE(?:\s+TABLE)?|LOCK(?:\s+TABLE)?)\s+(\w+)`),
	regexp.MustCompile(`(?is)^CREATE\s+(?:UNIQUE\s+)?INDEX\s+\w+\s+ON\s+(?:ONLY\s+)?(\w+)`),
	regexp.MustCompile(`(?is)^CREATE\s+TRIGGER\s.+?\sON\s+(\w+)`),
	regexp.MustCompile(`(?is)\bREFERENCES\s+(\w+)`),
}

var createsTable = regexp.MustCompile(`(?is)^CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)`)

// TestEachMigrationDeclaresWhatItLocks holds what `gateway migrate plan` shows.
func TestEachMigrationDeclaresWhatItLocks(t *testing.T) {
	steps, err := migrations.Steps(migrations.Files, "postgres")
	require.NoError(t, err)
	for _, step := range steps[1:] { // the first one was released without
		file := fmt.Sprintf("migrations/postgres/%06d_%s.up.sql", step.Version, step.Name)
		require.Regexp(t, headPattern, step.Up, "%s must begin with:\n%s", file, head)
		require.Equal(t, locked(step.Up), named(step.Locks, locked(step.Up)), "%s: its Locks must name each existing table that it locks", file)
		if len(locked(step.Up)) == 0 {
			require.Equal(t, "nothing", step.Locks, "%s locks no existing table", file)
		}
	}
}

// locked returns the tables that exist before these statements and that they lock.
func locked(text string) []string {
	created := map[string]bool{}
	var tables []string
	for statement := range strings.SplitSeq(regexp.MustCompile(`--[^\n]*`).ReplaceAllString(text, ""), ";") {
		statement = strings.TrimSpace(statement)
		if m := createsTable.FindStringSubmatch(statement); m != nil {
			created[m[1]] = true
		}
		for _, pattern := range locking {
			for _, m := range pattern.FindAllStringSubmatch(statement, -1) {
				if !created[m[1]] && !slices.Contains(tables, m[1]) {
					tables = append(tables, m[1])
				}
			}
		}
	}
	slices.Sort(tables)
	return tables
}

func named(text string, tables []string) []string {
	var found []string
	for _, table := range tables {
		if regexp.MustCompile(`\b` + table + `\b`).MatchString(text) {
			found = append(found, table)
		}
	}
	return found
}

func TestLocksAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"a new table locks nothing":          {"CREATE TABLE a (id bigint); CREATE INDEX a_id ON a (id); INSERT INTO a VALUES (1);", nil},
		"a column of an old table":           {"ALTER TABLE events ADD COLUMN x text;", []string{"events"}},
		"an index that blocks writes":        {"CREATE UNIQUE INDEX x ON events (x);", []string{"events"}},
		"an index that does not":             {"CREATE INDEX CONCURRENTLY x ON events (x);", nil},
		"a key to an old table":              {"CREATE TABLE a (id bigint REFERENCES events (id));", []string{"events"}},
		"rows of an old table":               {"UPDATE events SET x = 1; DELETE FROM jobs;", []string{"events", "jobs"}},
		"a comment is no statement":          {"-- ALTER TABLE events;\nCREATE TABLE a (id bigint);", nil},
		"a trigger of an old table":          {"CREATE TRIGGER t BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION f();", []string{"events"}},
		"only what was there before is held": {"ALTER TABLE a ADD x text; CREATE TABLE a (id bigint);", []string{"a"}},
	} {
		require.Equal(t, c.want, locked(c.text), name)
	}
}
