// Package migrations holds the schema's history, for each engine under the same
// numbers: the same tables, columns and indexes.
package migrations

import "embed"

// Files holds postgres/*.sql and sqlite/*.sql.
//
//go:embed postgres/*.sql sqlite/*.sql
var Files embed.FS
