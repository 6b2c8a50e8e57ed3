package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"integration-gateway/test/rig"
)

// enableStatementStats restarts the private PostgreSQL with pg_stat_statements, whose
// results --profile writes beside the processes' profiles.
// https://www.postgresql.org/docs/current/pgstatstatements.html
func (b *bench) enableStatementStats(ctx context.Context) error {
	g := gateway{servers: b.servers}
	if err := g.admin(ctx, "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'"); err != nil {
		return err
	}
	if err := b.servers.Restart(ctx, rig.Postgres); err != nil {
		return err
	}
	return g.admin(ctx, "CREATE EXTENSION pg_stat_statements")
}

const selectStatementsSQL = `
SELECT round(total_exec_time) AS total, calls, round((mean_exec_time)::numeric, 3) AS mean,
       rows, shared_blks_hit + shared_blks_read AS blocks, regexp_replace(query, '\s+', ' ', 'g') AS query
FROM   pg_stat_statements
ORDER  BY total_exec_time DESC
LIMIT  25`

// statements writes the most expensive statements since the last reset.
func (b *bench) statements(ctx context.Context, w workload) error {
	pool, err := openAdmin(b.servers)
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }()
	rows, err := pool.QueryContext(ctx, selectStatementsSQL)
	if err != nil {
		return fmt.Errorf("read the statistics of statements: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var text strings.Builder
	fmt.Fprintf(&text, "%10s %8s %9s %9s %10s  statement\n", "total ms", "calls", "mean ms", "rows", "blocks")
	for rows.Next() {
		var total, mean float64
		var calls, touched, blocks int64
		var query string
		if err := rows.Scan(&total, &calls, &mean, &touched, &blocks, &query); err != nil {
			return fmt.Errorf("read the statistics of statements: %w", err)
		}
		fmt.Fprintf(&text, "%10.0f %8d %9.3f %9d %10d  %.300s\n", total, calls, mean, touched, blocks, query)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the statistics of statements: %w", err)
	}
	path := filepath.Join(b.profile, fmt.Sprintf("%s-%s-%s-statements.txt", w.setup, w.mode, w.loop))
	return os.WriteFile(path, []byte(text.String()), 0o600)
}
