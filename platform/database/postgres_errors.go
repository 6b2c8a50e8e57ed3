package database

import (
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/lib/pq"

	"integration-gateway/platform/fault"
)

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

// classifyPostgres distinguishes outages from errors of this program.
func classifyPostgres(err error) error {
	if err == nil || fault.Is(err, fault.Unavailable) || !isOutage(err) {
		return err
	}
	return unavailable(err)
}

// isOutage reports that the database does not answer or accepts no writes now, and may
// recover without a change of this program or its statement.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
func isOutage(err error) bool {
	if refusesWrites(err) {
		return true
	}
	if e, ok := asError[*pq.Error](err); ok {
		switch string(e.Code)[:2] {
		case "08", "53", "57", "58": // connection, resources, operator intervention, system
			return true
		case "40": // a deadlock after all attempts
			return true
		}
		// A lock timeout, an idle timeout, and a database that accepts no connections.
		if hasCode(err, "55P03", "25P03", "55000") {
			return true
		}
		// A check violation without a constraint means a missing partition.
		return hasCode(err, "23514") && e.Constraint == ""
	}
	var network net.Error
	return transient(err) || errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// refusesWrites reports that a new connection may do better than this one: the session is
// on a standby, read-only, or has statements prepared for another schema. PostgreSQL
// reports the first two as 25006 and 0A000 ("… during recovery"), and lib/pq as text if
// target_session_attrs is set; 0A000 is also "cached plan must not change result type".
func refusesWrites(err error) bool {
	if hasCode(err, "25006", "0A000") || errors.Is(err, errStandby) {
		return true
	}
	if _, ofServer := asError[*pq.Error](err); ofServer {
		return false
	}
	text := err.Error()
	return strings.HasSuffix(text, "session is read-only") || strings.HasSuffix(text, "server is in hot standby mode")
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout() || transient(err)
}
