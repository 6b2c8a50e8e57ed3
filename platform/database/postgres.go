package database

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"integration-gateway/platform/clock"
)

var postgres = Dialect{
	Name:       "postgres",
	ForUpdate:  " FOR UPDATE",
	SkipLocked: " FOR UPDATE SKIP LOCKED",
	ForShare:   " FOR SHARE",
	KeepEvent:  " FOR KEY SHARE OF e",
	LeaseNow:   "clock_timestamp()",
	Like:       "ILIKE",
	HashText:   "hashtext(%s)",
	leaseIn: func(millis string) string {
		return "clock_timestamp() + " + millis + " * interval '1 millisecond'"
	},
	bytesHold: func(column, part string) string {
		return "position(CAST(" + part + " AS bytea) IN " + column + ") > 0"
	},
	oneByte:    `'\x%02x'::bytea`,
	relation:   unnest,
	split:      unsplit,
	combine:    combineWrites,
	classify:   classifyPostgres,
	estimate:   estimatePostgres,
	isConflict: func(err error) bool { return hasCode(err, "40001", "40P01") },
	isUnique:   func(err error) bool { return hasCode(err, "23505") },
}

const (
	idleTimeout    = 15 * time.Second
	connectTimeout = 5 * time.Second
	cancelGrace    = time.Second // for the server to confirm a cancelled statement
)

// keyedSettings are the planner settings of the write pool. All its statements look rows up
// by key, and must do so also in a table that has just grown and that the statistics call
// empty: the planner would scan it completely for a dozen rows.
// https://www.postgresql.org/docs/current/runtime-config-query.html
var keyedSettings = map[string]string{
	"enable_seqscan":   "off",
	"enable_hashjoin":  "off",
	"enable_mergejoin": "off",
	"plan_cache_mode":  "force_generic_plan",
}

// listSettings are the settings for lists: a page needs no parallel worker in competition
// with accepting webhooks.
var listSettings = map[string]string{"max_parallel_workers_per_gather": "0"}

// openPostgres makes three pools: one for transactions and rows by key; one for lists, with
// a quarter of the connections and normal planning; and one spare connection, since all
// others may be in use.
func openPostgres(cfg Config, now clock.Now) (*DB, error) {
	reads := max(1, cfg.MaxConnections/4)
	all := newSessions()
	write, err := poolPostgres(cfg, max(1, cfg.MaxConnections-reads-1), keyedSettings, all)
	if err != nil {
		return nil, err
	}
	read, err := poolPostgres(cfg, reads, listSettings, all)
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	spare, err := poolPostgres(cfg, 1, keyedSettings, all)
	if err != nil {
		return nil, errors.Join(err, write.Close(), read.Close())
	}
	db := newDB(postgres, cfg.URL, now, write, read)
	db.preparedReads = db.prepared
	db.spare = newDB(postgres, cfg.URL, now, spare, spare)
	db.spare.full, db.spare.clock, db.spare.failures, db.spare.checked = db.full, db.clock, db.failures, db.checked
	db.server = all.current
	return db, nil
}

func poolPostgres(cfg Config, connections int, settings map[string]string, all *sessions) (*sqlx.DB, error) {
	pgCfg, err := parsePostgresURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	runtime := map[string]string{
		"timezone":                            "UTC",
		"jit":                                 "off", // compiling takes longer than any statement here
		"statement_timeout":                   millis(cfg.StatementTimeout),
		"lock_timeout":                        millis(cfg.LockTimeout),
		"idle_in_transaction_session_timeout": millis(idleTimeout),
	}
	maps.Copy(runtime, settings)
	maps.Copy(runtime, pgCfg.Runtime) // the URL's override ours
	pgCfg.Runtime = nil               // a pooler would refuse or ignore them at the start of a session
	if pgCfg.FallbackApplicationName == "" {
		pgCfg.FallbackApplicationName = "gateway"
	}
	pgCfg.BinaryParameters = true // see array
	hosts, err := hostsOf(pgCfg)
	if err != nil {
		return nil, err
	}
	for _, host := range hosts {
		host.Dialer(deadlineDialer{timeout: cfg.StatementTimeout + 2*time.Second})
	}
	db := sqlx.NewDb(sql.OpenDB(connector{hosts, newSettings(runtime), all}), "postgres")
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, nil
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// unnest renders r as arrays, one parameter per column. They follow the query's own.
func unnest(r *Rows, query string, args []any) (body, numbered string, all []any, fixed bool) {
	arrays := make([]string, len(r.columns))
	for i := range r.columns {
		c := &r.columns[i]
		args = append(args, array{c})
		arrays[i] = "$" + strconv.Itoa(len(args)) + "::" + string(c.typ) + "[]"
	}
	return "SELECT * FROM unnest(" + strings.Join(arrays, ", ") + ")", query, args, true
}

// combineWrites makes each write a WITH clause. All of them see the database's state before
// the statement.
// https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING
func combineWrites(list []write) (text string, args []any) {
	if len(list) == 1 {
		return withUnnested(list[0], nil)
	}
	var b strings.Builder
	for i, w := range list {
		text, args = withUnnested(w, args)
		before := ",\n"
		if i == 0 {
			before = "WITH "
		}
		fmt.Fprintf(&b, "%sw%d AS (%s)", before, i, text)
	}
	b.WriteString("\nSELECT 1")
	return b.String(), args
}

// failedTables returns the table whose write was refused, or all tables of the group if the
// server does not name it.
func failedTables(list []write, err error) string {
	var tables []string
	e, _ := asError[*pq.Error](err)
	for _, w := range list {
		table := w.table()
		if e != nil && (e.Table == table || strings.HasPrefix(e.Table, table+"_")) { // a partition
			return table
		}
		if !slices.Contains(tables, table) {
			tables = append(tables, table)
		}
	}
	return strings.Join(tables, ", ")
}

func withUnnested(w write, args []any) (text string, all []any) {
	body, query, all, _ := unnest(w.rows, w.query, args)
	return w.rows.before(body, query), all
}

func unsplit(r *Rows) []*Rows {
	if r.Len() == 0 {
		return nil
	}
	return []*Rows{r}
}
