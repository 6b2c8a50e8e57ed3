// Package migrations contains the schema's history for both engines. The same version
// creates the same tables, columns and indexes.
package migrations

import "embed"

// Files contains postgres/*.sql and sqlite/*.sql.
//
//go:embed postgres/*.sql sqlite/*.sql
var Files embed.FS
