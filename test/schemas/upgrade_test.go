package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/migrations"
	"integration-gateway/platform/app"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// TestEachReleasedSchemaIsUpgradedWithItsData migrates the fixture of each released schema, goes
// one version down and up again, and loses no row.
func TestEachReleasedSchemaIsUpgradedWithItsData(t *testing.T) {
	fixtures, err := filepath.Glob("*.jsonl")
	require.NoError(t, err)
	require.NotEmpty(t, fixtures)
	for _, fixture := range fixtures {
		for engine, address := range map[string]func() string{
			"sqlite":   func() string { return "sqlite://" + filepath.Join(t.TempDir(), "gateway.db") },
			"postgres": func() string { return testkit.EmptyPostgres(t) },
		} {
			t.Run(fixture+" on "+engine, func(t *testing.T) {
				rows, written := readFixture(t, fixture)
				var version uint
				_, err := fmt.Sscanf(fixture, "%d.jsonl", &version)
				require.NoError(t, err)
				url := address()
				db, err := database.Open(database.Config{URL: url}, func() time.Time { return written })
				require.NoError(t, err)
				t.Cleanup(func() { _ = db.Close() })
				ctx := t.Context()
				require.NoError(t, database.Migrator{DB: db, Files: upTo(t, version)}.Up(ctx))
				_, err = db.CreatePartitions(ctx)
				require.NoError(t, err)
				load(t, db, rows)
				before := counts(t, db, rows)

				require.NoError(t, db.MigrateUp())
				check := func() {
					t.Helper()
					require.NoError(t, db.CheckSchema(ctx))
					require.Equal(t, before, counts(t, db, rows))
					verify(t, url)
				}
				check()
				require.NoError(t, db.MigrateDown(1))
				require.NoError(t, db.MigrateUp())
				check()
			})
		}
	}
}

// upTo returns the migrations up to a version.
func upTo(t *testing.T, version uint) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	for _, engine := range []string{"postgres", "sqlite"} {
		steps, err := migrations.Steps(migrations.Files, engine)
		require.NoError(t, err)
		for _, step := range steps {
			for _, kind := range []string{"up.sql", "down.sql", "schema"} {
				name := fmt.Sprintf("%s/%06d_%s.%s", engine, step.Version, step.Name, kind)
				text, err := fs.ReadFile(migrations.Files, name)
				require.NoError(t, err)
				if step.Version <= version {
					files[name] = &fstest.MapFile{Data: text}
				}
			}
		}
	}
	return files
}

type row struct {
	table  string
	values json.RawMessage
}

// readFixture returns a fixture's rows, and when the last of them was written.
func readFixture(t *testing.T, name string) (rows []row, written time.Time) {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var both [2]json.RawMessage
		require.NoError(t, json.Unmarshal(lines.Bytes(), &both))
		r := row{table: strings.Trim(string(both[0]), `"`), values: both[1]}
		if r.table == "event_states" {
			var of struct {
				Event string `json:"event_id"`
			}
			require.NoError(t, json.Unmarshal(r.values, &of))
			if at := id.Time(of.Event); at.After(written) {
				written = at
			}
		}
		rows = append(rows, r)
	}
	require.NoError(t, lines.Err())
	return rows, written
}

func load(t *testing.T, db *database.DB, rows []row) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, db.InTx(ctx, func(tx *database.Tx) error {
		for _, r := range rows {
			if err := insert(ctx, db, tx, r); err != nil {
				return fmt.Errorf("%s %s: %w", r.table, r.values, err)
			}
		}
		return nil
	}))
}

func insert(ctx context.Context, db *database.DB, tx *database.Tx, r row) error {
	decoder := json.NewDecoder(bytes.NewReader(r.values))
	decoder.UseNumber()
	values := map[string]any{}
	if err := decoder.Decode(&values); err != nil {
		return err
	}
	if db.Dialect.Name == "postgres" {
		columns := strings.Join(slices.Sorted(maps.Keys(values)), ", ")
		_, err := tx.Exec(ctx, fmt.Sprintf(`INSERT INTO %[1]s (%[2]s) SELECT %[2]s FROM json_populate_record(NULL::%[1]s, $1::json)`, r.table, columns), string(r.values))
		return err
	}
	var names, places []string
	var args []any
	for name, value := range values {
		if text, isText := value.(string); isText && strings.HasPrefix(text, `\x`) {
			raw, err := hex.DecodeString(text[2:])
			if err != nil {
				return err
			}
			value = raw
		}
		if number, isNumber := value.(json.Number); isNumber {
			value = number.String() // the column's affinity makes it a number again
		}
		args = append(args, value)
		names, places = append(names, name), append(places, fmt.Sprintf("$%d", len(args)))
	}
	_, err := tx.Exec(ctx, fmt.Sprintf(`INSERT INTO %s (%s) VALUES (%s)`, r.table, strings.Join(names, ", "), strings.Join(places, ", ")), args...)
	return err
}

func counts(t *testing.T, db *database.DB, rows []row) map[string]int {
	t.Helper()
	n := map[string]int{}
	for _, r := range rows {
		if _, counted := n[r.table]; counted {
			continue
		}
		var rows int
		require.NoError(t, db.Get(t.Context(), &rows, `SELECT count(*) FROM `+r.table))
		n[r.table] = rows
	}
	return n
}

// verify runs the consistency check.
func verify(t *testing.T, url string) {
	t.Helper()
	cfg, err := config.Load(config.Options{Role: config.Dev})
	require.NoError(t, err)
	cfg.Database.URL = secret.New(url)
	var said bytes.Buffer
	require.NoError(t, app.Verify(t.Context(), cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), app.VerifyOptions{Out: &said, Limit: 20}), said.String())
}

func TestTheFixturesBelongToReleases(t *testing.T) {
	steps, err := migrations.Steps(migrations.Files, "sqlite")
	require.NoError(t, err)
	fixtures, err := filepath.Glob("*.jsonl")
	require.NoError(t, err)
	for _, fixture := range fixtures {
		require.True(t, slices.ContainsFunc(steps, func(s migrations.Step) bool { return fmt.Sprintf("%06d.jsonl", s.Version) == fixture }), fixture)
	}
}
