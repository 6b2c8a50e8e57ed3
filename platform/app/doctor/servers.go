package doctor

import (
	"errors"
	"strings"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
)

// The oldest versions that the gateway is for, as docs/deployment.md says.
const (
	leastPostgres = 14
	leastRedis    = 7
)

// Pool is what the gateway's processes take of the database's connections.
type Pool struct {
	Processes int // that run now
	Each      int // DATABASE_MAX_CONNECTIONS
}

// Write is a write that was tried, unless there were no tables for it.
type Write struct {
	Tried bool
	Err   error
}

func (w Write) finding() []Finding {
	switch {
	case !w.Tried:
		return nil
	case w.Err != nil:
		return []Finding{away("look at the server's log: it may be a standby, or its disk may be full", "it takes no writes: %s", w.Err)}
	}
	return []Finding{ok("it takes writes")}
}

// Database judges the database's server.
func Database(i database.Inspection, write Write, pool Pool, remote bool) []Finding {
	var found []Finding
	if i.Engine == "sqlite" {
		found = append(found, ok("SQLite %s answers", i.Version))
		if i.Settings["journal_mode"] != "wal" || i.Settings["synchronous"] != "2" {
			found = append(found, fail("move the file to a disk of this machine: WAL needs shared memory",
				"journal_mode is %s and synchronous is %s; commits need wal and 2 (FULL)", i.Settings["journal_mode"], i.Settings["synchronous"]))
		}
		return append(found, write.finding()...)
	}
	found = append(found, ok("PostgreSQL %s answers", i.Version))
	if i.Major < leastPostgres {
		found[0] = fail("upgrade PostgreSQL", "PostgreSQL %s is older than %d", i.Version, leastPostgres)
	}
	found = append(found, write.finding()...)
	for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		if i.Settings[name] == "off" {
			found = append(found, fail("set it to on in postgresql.conf, or for the gateway's role: what was accepted may be lost when the server stops", "%s is off", name))
		}
	}
	if i.Settings["autovacuum"] == "off" {
		found = append(found, fail("set it to on: tables grow and queries slow down without it", "autovacuum is off"))
	}
	if encoding := i.Settings["server_encoding"]; encoding != "UTF8" {
		found = append(found, fail("create the database anew with ENCODING 'UTF8'", "the database's encoding is %s, which cannot hold all texts", encoding))
	}
	if remote && !i.Encrypted {
		found = append(found, warn("add sslmode=verify-full to DATABASE_URL", "the connection is not encrypted, and the server is on another machine"))
	}
	return append(found, room(i, pool))
}

// room compares the server's connections with what the processes may take.
func room(i database.Inspection, pool Pool) Finding {
	most := i.Number("max_connections") - i.Number("superuser_reserved_connections") - i.Number("reserved_connections")
	need := max(pool.Processes, 1) * pool.Each
	fix := "raise max_connections, or lower DATABASE_MAX_CONNECTIONS"
	switch {
	case need > most:
		return warn(fix, "%d processes may take %d connections (%d each), and the server has %d", max(pool.Processes, 1), need, pool.Each, most)
	case i.Connections*10 >= most*9:
		return warn(fix, "%d of the server's %d connections are in use", i.Connections, most)
	}
	return ok("%d of %d connections are in use; %d processes may take %d", i.Connections, most, max(pool.Processes, 1), need)
}

// DatabaseAway is the finding about a database that cannot be opened. local says that it is a
// file.
func DatabaseAway(err error, local bool) []Finding {
	if local {
		return []Finding{fail("correct DATABASE_URL, or the folder that --data names; gateway migrate up creates a database", "%s", err)}
	}
	return []Finding{away("check DATABASE_URL, and that the server runs and lets this machine in", "%s", firstLine(err))}
}

// Broker judges RabbitMQ and its queues. err says why it could not be inspected.
func Broker(i broker.Inspection, err error) []Finding {
	switch {
	case errors.Is(err, broker.ErrRefused):
		return []Finding{fail("check the user, the password and the virtual host in RABBITMQ_URL, and the user's permissions", "%s", firstLine(err))}
	case err != nil:
		return []Finding{away("check RABBITMQ_URL and that the server runs; meanwhile webhooks are accepted and wait in the database", "%s", firstLine(err))}
	}
	found := []Finding{ok("%s %s answers", i.Product, i.Version)}
	var missing, other []string
	workers, hasProcess := 0, false
	for _, q := range i.Queues {
		switch {
		case q.Missing:
			missing = append(missing, q.Name)
		case q.Mismatch:
			other = append(other, q.Name)
		case q.Role == broker.Process:
			workers, hasProcess = q.Consumers, true
		case q.Role == broker.Dead && q.Ready > 0:
			found = append(found, warn("start gateway work, which moves them to the dead letters", "%d unreadable messages wait in %s", q.Ready, q.Name))
		}
	}
	if len(other) > 0 {
		found = append(found, fail("stop serve and work and run gateway queues migrate, which keeps the messages; or set RABBITMQ_QUEUE_TYPE to their type",
			"queues exist with other arguments than those of %s queues: %s", i.Type, strings.Join(other, ", ")))
	}
	if len(missing) > 0 {
		found = append(found, warn("start gateway serve or gateway work, which declare them", "queues are missing: %s", strings.Join(missing, ", ")))
	}
	if hasProcess && workers == 0 {
		found = append(found, warn("start gateway work", "nothing consumes the queue of jobs, so nothing is delivered"))
	}
	if len(found) == 1 {
		found = append(found, ok("%d %s queues are there", len(i.Queues), i.Type))
	}
	return found
}

// NoBroker is the finding where the queue is in the process.
func NoBroker() []Finding { return []Finding{ok("none is configured: the queue is in the process")} }

// Cache judges Redis.
func Cache(i cache.Inspection, err error) []Finding {
	if err != nil {
		return []Finding{away("check REDIS_URL and that the server runs and takes writes; meanwhile the database recognizes repeats, and there are no limits per minute",
			"%s", firstLine(err))}
	}
	var found []Finding
	switch {
	case i.Version == "":
		found = append(found, ok("the server takes writes; it does not tell its version"))
	case i.Major < leastRedis:
		found = append(found, fail("upgrade Redis", "Redis %s is older than %d.0", i.Version, leastRedis))
	default:
		found = append(found, ok("Redis %s takes writes", i.Version))
	}
	if i.Limited && i.Eviction == "noeviction" {
		found = append(found, warn("set maxmemory-policy allkeys-lru", "it refuses writes when its memory is full (noeviction)"))
	}
	return found
}

// NoCache is the finding without Redis. shared says that several processes run apart.
func NoCache(shared bool) []Finding {
	if shared {
		return []Finding{warn("set REDIS_URL for limits and faster answers to repeats", "none is configured: there are no limits per minute")}
	}
	return []Finding{ok("none is configured: it is in the process")}
}

// The differences between clocks that matter: due times follow the database's clock, and
// timestamps of signatures are good for minutes.
const (
	skewWarn = time.Second
	skewFail = 30 * time.Second
)

// Clock judges how far this machine's clock is ahead of the database's.
func Clock(ahead time.Duration, err error) []Finding {
	const fix = "synchronize both machines' clocks (NTP)"
	ahead = ahead.Round(time.Millisecond)
	switch apart := ahead.Abs(); {
	case err != nil:
		return Unread(err)
	case apart > skewFail:
		return []Finding{fail(fix, "this machine's clock is %s apart from the database's: signatures with timestamps are refused", apart)}
	case apart > skewWarn:
		return []Finding{warn(fix, "this machine's clock is %s apart from the database's", apart)}
	default:
		return []Finding{ok("this machine's clock is %s apart from the database's", apart)}
	}
}

// firstLine is an error without what drivers add below it.
func firstLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// Skipped is the finding of a check that needs what another check has found to be wrong.
func Skipped(needs string) []Finding {
	return []Finding{warn("see the "+needs, "not checked: it needs the %s", needs)}
}

// Unread is the finding about records that could not be read.
func Unread(err error) []Finding {
	if fault.Is(err, fault.Unavailable) {
		return []Finding{away("see the database", "%s", firstLine(err))}
	}
	return []Finding{fail("see the database and the schema", "%s", firstLine(err))}
}
