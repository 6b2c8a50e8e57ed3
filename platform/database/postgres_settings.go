package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"
)

// settings are the parameters of a session, sent in a statement after connecting: a pooler
// refuses most of them at the start of a session, or is configured to ignore them.
// https://www.pgbouncer.org/config.html#ignore_startup_parameters
type settings []setting

type setting struct{ name, value string }

func newSettings(values map[string]string) settings {
	var list settings
	for _, name := range slices.Sorted(maps.Keys(values)) {
		list = append(list, setting{name, values[name]})
	}
	return list
}

// apply sets all, and returns the values as the server shows them.
func (s settings) apply(ctx context.Context, conn driver.QueryerContext) ([]string, error) {
	if len(s) == 0 {
		return nil, nil
	}
	calls := make([]string, len(s))
	for i, one := range s {
		calls[i] = "set_config(" + pq.QuoteLiteral(one.name) + ", " + pq.QuoteLiteral(one.value) + ", false)"
	}
	return queryRow(ctx, conn, "SELECT "+strings.Join(calls, ", "), len(s))
}

// identity is what a session tells of its server and of itself.
type identity struct {
	standby    bool
	started    string // the server's start, to the microsecond, identifies it
	clientPort int    // of the connection as the server sees it; 0 for a Unix socket
	settings   []string
}

const selectIdentitySQL = `SELECT pg_is_in_recovery()::text, pg_postmaster_start_time()::text, COALESCE(inet_client_port(), 0)::text`

// identify reads the identity, with the settings as they are in force.
func (s settings) identify(ctx context.Context, conn driver.QueryerContext) (identity, error) {
	query := selectIdentitySQL
	for _, one := range s {
		query += ", current_setting(" + pq.QuoteLiteral(one.name) + ")"
	}
	row, err := queryRow(ctx, conn, query, 3+len(s))
	if err != nil {
		return identity{}, err
	}
	port, _ := strconv.Atoi(row[2])
	return identity{standby: row[0] == "true", started: row[1], clientPort: port, settings: row[3:]}, nil
}

// queryRow reads one row of texts by the simple protocol, which needs one round trip and
// prepares nothing.
func queryRow(ctx context.Context, conn driver.QueryerContext, query string, columns int) (row []string, err error) {
	rows, err := conn.QueryContext(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	values := make([]driver.Value, columns)
	if err := rows.Next(values); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for _, v := range values {
		switch v := v.(type) {
		case string:
			row = append(row, v)
		case []byte:
			row = append(row, string(v))
		default:
			return nil, fmt.Errorf("the server's answer has %T instead of text", v)
		}
	}
	return row, nil
}

// errSharedSession refuses a pooler that gives each transaction another session. Settings
// would be lost, and prepared statements and advisory locks would belong to others.
var errSharedSession = errors.New("a connection pooler shares sessions between connections; the gateway needs sessions of its own: " +
	"set pool_mode = session in PgBouncer for this database, or connect to PostgreSQL directly")

// probeTimeout is for the second connection of a probe, which a pooler without a free
// session keeps waiting.
const probeTimeout = 2 * time.Second

// probe calls shared once for each server, and by one caller at a time.
func (s *sessions) probe(ctx context.Context, server string, shared func() error) error {
	select {
	case s.probing <- struct{}{}:
		defer func() { <-s.probing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.probed == server {
		return nil
	}
	err := shared()
	if err == nil {
		s.probed = server
	}
	return err
}

// sharesSessions returns errSharedSession if conn and a second connection to the same host
// use one session of the server, or either uses more than one.
func sharesSessions(ctx context.Context, host *pq.Connector, conn driver.QueryerContext) error {
	limited, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var dialed *deadlineConn
	second, err := host.Connect(context.WithValue(limited, dialedKey{}, &dialed))
	if err != nil {
		return nil //nolint:nilerr // it has no session to spare, so nothing can be shared now
	}
	defer func() { _ = second.Close() }()
	full, ok := second.(fullConn)
	if !ok {
		return fmt.Errorf("the driver's %T lacks methods that database/sql may call", second)
	}
	other := &watchedConn{full, dialed}
	// A pooler gives the session that was released last, or takes turns: of an odd number of
	// turns one is seen.
	var own, others []string
	for _, c := range []driver.QueryerContext{conn, other, other, conn, conn, other} {
		pid, err := queryRow(limited, c, `SELECT pg_backend_pid()::text`, 1)
		if err != nil && c == other && isTimeout(err) {
			return nil // it waits until conn releases its session
		}
		if err != nil {
			return fmt.Errorf("look for a shared session: %w", err)
		}
		if c == other {
			others = append(others, pid[0])
		} else {
			own = append(own, pid[0])
		}
	}
	if len(slices.Compact(own)) > 1 || len(slices.Compact(others)) > 1 || own[0] == others[0] {
		return errSharedSession
	}
	return nil
}
