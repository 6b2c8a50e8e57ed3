package database

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Inspection describes the database's server, or the library of an SQLite file.
type Inspection struct {
	Engine  string // postgres or sqlite
	Version string // such as 18.1
	Major   int
	// Settings are those that durability, text and room for connections depend on, by their
	// names in the engine. Of PostgreSQL: autovacuum, fsync, full_page_writes, max_connections,
	// server_encoding, superuser_reserved_connections, synchronous_commit. Of SQLite:
	// journal_mode and synchronous (2 is FULL).
	Settings    map[string]string
	Connections int  // open to the server, of all programs; PostgreSQL only
	Encrypted   bool // the connection has TLS; PostgreSQL only
}

// Number returns a setting that is a number, or 0.
func (i Inspection) Number(setting string) int {
	n, _ := strconv.Atoi(i.Settings[setting])
	return n
}

const selectSettingsSQL = `
SELECT name, setting
FROM   pg_settings
WHERE  name IN ('autovacuum', 'fsync', 'full_page_writes', 'max_connections', 'server_encoding', 'server_version', 'server_version_num',
                'superuser_reserved_connections', 'reserved_connections', 'synchronous_commit')`

const selectConnectionSQL = `
SELECT (SELECT COALESCE(sum(numbackends), 0) FROM pg_stat_database) AS connections,
       COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS encrypted`

// Inspect reads what an operator should know of the database's server.
func (db *DB) Inspect(ctx context.Context) (Inspection, error) {
	found := Inspection{Engine: db.Dialect.Name, Settings: map[string]string{}}
	if db.Dialect.Name != postgres.Name {
		return found, db.inspectSQLite(ctx, &found)
	}
	var settings []struct{ Name, Setting string }
	if err := db.Select(ctx, &settings, selectSettingsSQL); err != nil {
		return found, fmt.Errorf("read the server's settings: %w", err)
	}
	for _, s := range settings {
		found.Settings[s.Name] = s.Setting
	}
	found.Version, found.Major = found.Settings["server_version"], found.Number("server_version_num")/10_000
	var connection struct {
		Connections int
		Encrypted   bool
	}
	if err := db.Get(ctx, &connection, selectConnectionSQL); err != nil {
		return found, fmt.Errorf("count the server's connections: %w", err)
	}
	found.Connections, found.Encrypted = connection.Connections, connection.Encrypted
	return found, nil
}

func (db *DB) inspectSQLite(ctx context.Context, found *Inspection) error {
	var err error
	read := func(query string) (text string) {
		if err == nil {
			err = db.classify(db.write.GetContext(ctx, &text, query))
		}
		return text
	}
	found.Version = read(`SELECT sqlite_version()`)
	found.Settings["journal_mode"] = read(`PRAGMA journal_mode`)
	found.Settings["synchronous"] = read(`PRAGMA synchronous`)
	if err != nil {
		return fmt.Errorf("read the settings of SQLite: %w", err)
	}
	return nil
}

// errUndone ends a transaction that was tried and is not to be kept.
var errUndone = errors.New("not to be kept")

// The statements of CheckWritable change nothing, also where they could be committed: the one
// for PostgreSQL needs the right to write, and a server that gives out transaction ids.
var writesSQL = map[string]string{
	"postgres": `UPDATE installation SET id = id WHERE pg_current_xact_id() IS NULL`,
	"sqlite":   `UPDATE installation SET id = id`,
}

// CheckWritable returns an error if the database takes no writes. It needs the schema.
func (db *DB) CheckWritable(ctx context.Context) error {
	err := db.InTx(ctx, func(tx *Tx) error {
		if _, err := tx.Exec(ctx, writesSQL[db.Dialect.Name]); err != nil {
			return err
		}
		return errUndone
	})
	if errors.Is(err, errUndone) {
		return nil
	}
	return err
}
