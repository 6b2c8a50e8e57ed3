// Command schemas records the rows of a database file as a fixture of its schema's version, from
// which the tests of upgrades begin on both engines:
//
//	go run ./test/schemas data/gateway.db > test/schemas/000001.jsonl
//
// Each line is a table's name and one row. Bytes are written as PostgreSQL writes them
// (\x0a0b). The file should be that of a gateway without real secrets.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./test/schemas FILE")
		os.Exit(2)
	}
	if err := record(context.Background(), os.Args[1], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(1)
	}
}

const selectTablesSQL = `
SELECT name FROM sqlite_master
WHERE  type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT IN ('schema_migrations', 'installation', 'processes')
ORDER  BY rowid`

func record(ctx context.Context, path string, out io.Writer) (err error) {
	if _, err := os.Stat(path); err != nil { //nolint:gosec // the caller's own file
		return fmt.Errorf("the database: %w", err)
	}
	db, err := database.Open(database.Config{URL: "sqlite://" + path}, clock.System)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var tables []string
	if err := db.Select(ctx, &tables, selectTablesSQL); err != nil {
		return fmt.Errorf("list the tables: %w", err)
	}
	for _, table := range tables {
		if err := rows(ctx, db, table, out); err != nil {
			return fmt.Errorf("read %s: %w", table, err)
		}
	}
	return nil
}

func rows(ctx context.Context, db *database.DB, table string, out io.Writer) error {
	var columns []string
	if err := db.Select(ctx, &columns, `SELECT name FROM pragma_table_info($1)`, table); err != nil {
		return err
	}
	pairs := make([]string, len(columns))
	for i, c := range columns {
		pairs[i] = fmt.Sprintf(`'%[1]s', CASE typeof(%[1]s) WHEN 'blob' THEN '\x' || lower(hex(%[1]s)) ELSE %[1]s END`, c)
	}
	var lines []string
	query := fmt.Sprintf(`SELECT json_array('%s', json_object(%s)) FROM %s`, table, strings.Join(pairs, ", "), table)
	if err := db.Select(ctx, &lines, query); err != nil {
		return err
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}
