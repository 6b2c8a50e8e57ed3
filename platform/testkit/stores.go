// Package testkit gives tests real databases, brokers and caches. It is never linked into
// the binary.
package testkit

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/migrations"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// The variables that name the servers for tests; ./scripts/test sets them.
const (
	PostgresVariable = "TEST_DATABASE_URL" // a role that may create databases
	RedisVariable    = "TEST_REDIS_URL"
	RabbitMQVariable = "TEST_RABBITMQ_URL"
)

// Server returns the URL in variable. Without one the test is skipped, or fails on CI,
// where every server must be available.
func Server(t testing.TB, variable string) string {
	t.Helper()
	if u := os.Getenv(variable); u != "" {
		return u
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not set, and CI tests on the real servers", variable)
	}
	t.Skipf("%s is not set; ./scripts/test sets it", variable)
	return ""
}

// EachStore runs test on a fresh, migrated SQLite and on a fresh, migrated PostgreSQL.
func EachStore(t *testing.T, test func(t *testing.T, db *database.DB)) {
	t.Run("sqlite", func(t *testing.T) { test(t, Open(t, SQLite(t))) })
	t.Run("postgres", func(t *testing.T) { test(t, Open(t, Postgres(t))) })
}

// EachEmptyStore runs test on a SQLite and on a PostgreSQL database without migrations.
// open returns another pool on the same database.
func EachEmptyStore(t *testing.T, test func(t *testing.T, open func() *database.DB)) {
	each := func(fresh func(testing.TB) string) func(t *testing.T) {
		return func(t *testing.T) {
			u := fresh(t)
			test(t, func() *database.DB { return Open(t, u) })
		}
	}
	t.Run("sqlite", each(emptySQLite))
	t.Run("postgres", each(EmptyPostgres))
}

// Open opens url with the system's clock and closes it with the test.
func Open(t testing.TB, url string) *database.DB {
	t.Helper()
	db, err := database.Open(database.Config{URL: url}, clock.System)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// SQLite returns the URL of a fresh, migrated database that is removed with the test.
func SQLite(t testing.TB) string {
	t.Helper()
	u := emptySQLite(t)
	require.NoError(t, Open(t, u).MigrateUp())
	return u
}

func emptySQLite(t testing.TB) string {
	return "sqlite://" + filepath.Join(t.TempDir(), "gateway.db")
}

// Postgres returns the URL of a fresh, migrated database that is removed with the test.
func Postgres(t testing.TB) string {
	t.Helper()
	admin := Server(t, PostgresVariable)
	return createDatabase(t, admin, templateDatabase(t, admin))
}

// EmptyPostgres returns the URL of a fresh database without migrations that is removed with
// the test.
func EmptyPostgres(t testing.TB) string {
	t.Helper()
	return createDatabase(t, Server(t, PostgresVariable), "template0")
}

// createDatabase copies template and drops the copy with the test.
func createDatabase(t testing.TB, admin, template string) string {
	name := "gateway_test_" + strings.ReplaceAll(id.New(), "-", "")
	execAdmin(t, admin, fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, template))
	t.Cleanup(func() { execAdmin(t, admin, fmt.Sprintf("DROP DATABASE IF EXISTS %s WITH (FORCE)", name)) })
	return withDatabase(t, admin, name)
}

// templateDatabase makes a migrated database to copy from, once for each version of the
// migrations and each week.
func templateDatabase(t testing.TB, admin string) string {
	name := "gateway_template_" + schemaHash(t)
	db, err := sql.Open("postgres", admin)
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	conn, err := db.Conn(context.Background())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = conn.ExecContext(context.Background(), "SELECT pg_advisory_lock(7307)")
	require.NoError(t, err)
	var ready bool
	require.NoError(t, conn.QueryRowContext(context.Background(),
		"SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&ready))
	if ready {
		return name
	}
	building := name + "_building"
	execAdmin(t, admin, "DROP DATABASE IF EXISTS "+building+" WITH (FORCE)", "CREATE DATABASE "+building)
	own, err := database.Open(database.Config{URL: withDatabase(t, admin, building)}, clock.System)
	require.NoError(t, err)
	require.NoError(t, own.MigrateUp())
	require.NoError(t, own.Close())
	execAdmin(t, admin, "ALTER DATABASE "+building+" RENAME TO "+name)
	return name
}

func schemaHash(t testing.TB) string {
	names, err := fs.Glob(migrations.Files, "postgres/*.sql")
	require.NoError(t, err)
	h := sha256.New()
	for _, name := range names {
		text, err := fs.ReadFile(migrations.Files, name)
		require.NoError(t, err)
		h.Write([]byte(name))
		h.Write(text)
	}
	for _, p := range database.MissingPartitions(nil, clock.System()) { // a template's partitions expire
		h.Write([]byte(p.Name))
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

func execAdmin(t testing.TB, admin string, statements ...string) {
	db, err := sql.Open("postgres", admin)
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	for _, s := range statements {
		_, err = db.ExecContext(context.Background(), s)
		require.NoError(t, err, s)
	}
}

func withDatabase(t testing.TB, admin, name string) string {
	u, err := url.Parse(admin)
	require.NoError(t, err)
	u.Path = "/" + name
	return u.String()
}
