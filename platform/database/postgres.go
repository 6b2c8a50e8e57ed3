package database

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
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
	LeaseNow:   "clock_timestamp()",
	Like:       "ILIKE",
	leaseIn: func(millis string) string {
		return "clock_timestamp() + " + millis + " * interval '1 millisecond'"
	},
	relation:   unnest,
	parts:      whole,
	together:   together,
	classify:   classifyPostgres,
	estimate:   estimatePostgres,
	isConflict: func(err error) bool { return hasCode(err, "40001", "40P01") },
	isUnique:   func(err error) bool { return hasCode(err, "23505") },
}

const (
	idleTimeout    = 15 * time.Second
	connectTimeout = 5 * time.Second
	cancelGrace    = time.Second // for the server to confirm that a statement was cancelled

	migrationTimeout = 15 * time.Minute // one statement of a migration
)

// keyed is how statements of the write pool are planned: all of them find their rows by
// key, and must do so also in a table that grew a moment ago and that the planner takes
// for empty. By statistics it would read such a table whole for a dozen rows.
// https://www.postgresql.org/docs/current/runtime-config-query.html
var keyed = map[string]string{
	"enable_seqscan":   "off",
	"enable_hashjoin":  "off",
	"enable_mergejoin": "off",
	"plan_cache_mode":  "force_generic_plan",
}

// paged is how lists are read: a page needs no second process beside those that take webhooks.
var paged = map[string]string{"max_parallel_workers_per_gather": "0"}

// openPostgres makes two pools: one for transactions and for rows by key, and one for
// lists, a quarter of the connections, which is planned by statistics.
func openPostgres(cfg Config, now clock.Now) (*DB, error) {
	reads := max(1, cfg.MaxConnections/4)
	write, err := poolPostgres(cfg, max(1, cfg.MaxConnections-reads), keyed)
	if err != nil {
		return nil, err
	}
	read, err := poolPostgres(cfg, reads, paged)
	if err != nil {
		return nil, err
	}
	db := newDB(postgres, cfg.URL, now, write, read)
	db.preparedReads = db.prepared
	return db, nil
}

func poolPostgres(cfg Config, connections int, settings map[string]string) (*sqlx.DB, error) {
	pgCfg, err := pq.NewConfig(cfg.URL)
	if err != nil {
		return nil, errors.New("the database URL is not understood; write postgres://user:password@host:5432/name?sslmode=…")
	}
	if pgCfg.Runtime == nil {
		pgCfg.Runtime = map[string]string{}
	}
	runtime := map[string]string{
		"timezone":                            "UTC",
		"jit":                                 "off", // it takes longer than any statement here
		"statement_timeout":                   millis(cfg.StatementTimeout),
		"lock_timeout":                        millis(cfg.LockTimeout),
		"idle_in_transaction_session_timeout": millis(idleTimeout),
	}
	maps.Copy(runtime, settings)
	for key, value := range runtime {
		if _, set := pgCfg.Runtime[key]; !set {
			pgCfg.Runtime[key] = value
		}
	}
	if pgCfg.FallbackApplicationName == "" {
		pgCfg.FallbackApplicationName = "gateway"
	}
	pgCfg.BinaryParameters = true // see array
	if pgCfg.ConnectTimeout == 0 {
		pgCfg.ConnectTimeout = connectTimeout
	}
	connector, err := pq.NewConnectorConfig(pgCfg)
	if err != nil {
		return nil, fmt.Errorf("the database URL: %w", err)
	}
	connector.Dialer(deadlineDialer{answer: cfg.StatementTimeout + 2*time.Second})
	db := sqlx.NewDb(sql.OpenDB(watchingConnector{connector}), "postgres")
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, nil
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func hasCode(err error, codes ...string) bool {
	e, ok := asError[*pq.Error](err)
	if !ok {
		return false
	}
	for _, code := range codes {
		if string(e.Code) == code {
			return true
		}
	}
	return false
}

// classifyPostgres tells an outage from a mistake.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
func classifyPostgres(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := asError[*pq.Error](err); ok {
		switch string(e.Code)[:2] {
		case "08", "53", "57", "58": // connection, resources, operator intervention, system
			return unavailable(err)
		case "40": // still a deadlock after all attempts
			return unavailable(err)
		}
		// A lock timeout, an idle timeout, a standby, and a database that takes no connections.
		if hasCode(err, "55P03", "25P03", "25006", "55000") {
			return unavailable(err)
		}
		// A check that no constraint makes is that of the partitions: one is missing.
		if hasCode(err, "23514") && e.Constraint == "" {
			return unavailable(err)
		}
		return err
	}
	var network net.Error
	if transient(err) || errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return unavailable(err)
	}
	return err
}

// unnest renders r as arrays, one parameter a column. They follow the query's own.
func unnest(r *Rows, query string, args []any) (body, numbered string, all []any, fixed bool) {
	arrays := make([]string, len(r.columns))
	for i := range r.columns {
		c := &r.columns[i]
		args = append(args, array{c})
		arrays[i] = "$" + strconv.Itoa(len(args)) + "::" + string(c.typ) + "[]"
	}
	return "SELECT * FROM unnest(" + strings.Join(arrays, ", ") + ")", query, args, true
}

// together makes each write a WITH of its own. All of them see the database as it was before.
// https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING
func together(list []write) (text string, args []any) {
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

func withUnnested(w write, args []any) (text string, all []any) {
	body, query, all, _ := unnest(w.rows, w.query, args)
	return w.rows.before(body, query), all
}

func whole(r *Rows) []*Rows {
	if r.Len() == 0 {
		return nil
	}
	return []*Rows{r}
}
