package database

import (
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"integration-gateway/migrations"
)

const selectNameSQL = `
SELECT current_database()`

// Name returns the database's name and server, or its file, for people.
func (db *DB) Name(ctx context.Context) (string, error) {
	if db.Dialect.Name != postgres.Name {
		return strings.TrimPrefix(db.url, "sqlite://"), nil
	}
	var name string
	if err := db.Get(ctx, &name, selectNameSQL); err != nil {
		return "", fmt.Errorf("read the database's name: %w", err)
	}
	if u, err := url.Parse(db.url); err == nil && u.Host != "" {
		name += " at " + u.Host // without user and password
	}
	return name, nil
}

var dropsTable = regexp.MustCompile(`(?im)^\s*DROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?(\w+)`)

var dropsColumn = regexp.MustCompile(`(?m)^ALTER TABLE (\w+) DROP COLUMN (\w+);`)

// Dropped returns the tables that MigrateDown would drop, and the columns as table.column, sorted; none if nothing is to be
// reverted.
func (db *DB) Dropped(steps int) ([]string, error) {
	version, _, err := db.MigrationVersion()
	if err != nil {
		return nil, err
	}
	all, err := migrations.Steps(migrations.Files, db.Dialect.Name)
	if err != nil {
		return nil, err
	}
	var tables []string
	undone := 0
	for _, step := range slices.Backward(all) {
		if step.Version > version || steps > 0 && undone == steps {
			continue
		}
		undone++
		text, err := fs.ReadFile(migrations.Files, fmt.Sprintf("%s/%06d_%s.down.sql", db.Dialect.Name, step.Version, step.Name))
		if err != nil {
			return nil, fmt.Errorf("read a migration: %w", err)
		}
		for _, found := range dropsTable.FindAllStringSubmatch(string(text), -1) {
			tables = append(tables, found[1])
		}
		for _, found := range dropsColumn.FindAllStringSubmatch(string(text), -1) {
			tables = append(tables, found[1]+"."+found[2])
		}
	}
	slices.Sort(tables)
	return slices.Compact(tables), nil
}
