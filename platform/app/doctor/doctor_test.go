package doctor

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/secrets"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
	"integration-gateway/platform/tlsfiles"
)

// verdict is a finding that is not ok: what it must say.
type verdict struct {
	status Status
	says   string
}

// requireVerdicts compares the findings that are not ok, and holds that each says what to do.
func requireVerdicts(t *testing.T, sentence string, want []verdict, found []Finding) {
	t.Helper()
	require.NotEmpty(t, append(found, Finding{}), sentence)
	var bad []Finding
	for _, f := range found {
		require.NotEmpty(t, f.Text, sentence)
		if f.Status != OK {
			bad = append(bad, f)
			require.NotEmpty(t, f.Fix, "%s: %s", sentence, f.Text)
		}
	}
	require.Len(t, bad, len(want), "%s: %+v", sentence, found)
	for i, v := range want {
		require.Equal(t, v.status, bad[i].Status, "%s: %+v", sentence, bad[i])
		require.Contains(t, bad[i].Text, v.says, sentence)
	}
}

func server(change ...string) database.Inspection {
	i := database.Inspection{Engine: "postgres", Version: "18.1", Major: 18, Encrypted: true, Connections: 12, Settings: map[string]string{
		"autovacuum": "on", "fsync": "on", "full_page_writes": "on", "max_connections": "100", "superuser_reserved_connections": "3", "server_encoding": "UTF8", "synchronous_commit": "on"}}
	for at := 0; at+1 < len(change); at += 2 {
		i.Settings[change[at]] = change[at+1]
	}
	return i
}

func TestDatabase(t *testing.T) {
	plain := server()
	plain.Encrypted = false
	old := server()
	old.Version, old.Major = "13.2", 13
	busy := server()
	busy.Connections = 90
	pool := Pool{Processes: 2, Each: 20}
	for _, c := range []struct {
		sentence string
		i        database.Inspection
		write    error
		pool     Pool
		remote   bool
		want     []verdict
	}{
		{"all is well", server(), nil, pool, true, nil},
		{"it is old", old, nil, pool, true, []verdict{{Fail, "PostgreSQL 13.2 is older than 14"}}},
		{"it takes no writes", server(), errors.New("standby"), pool, true, []verdict{{Fail, "it takes no writes: standby"}}},
		{"commits are not kept", server("fsync", "off", "synchronous_commit", "off", "full_page_writes", "off"), nil, pool, true,
			[]verdict{{Fail, "fsync is off"}, {Fail, "full_page_writes is off"}, {Fail, "synchronous_commit is off"}}},
		{"local commits are kept", server("synchronous_commit", "local"), nil, pool, true, nil},
		{"nothing is vacuumed", server("autovacuum", "off"), nil, pool, true, []verdict{{Fail, "autovacuum is off"}}},
		{"texts do not fit", server("server_encoding", "LATIN1"), nil, pool, true, []verdict{{Fail, "encoding is LATIN1"}}},
		{"the network sees everything", plain, nil, pool, true, []verdict{{Warn, "not encrypted"}}},
		{"nobody sees it on this machine", plain, nil, pool, false, nil},
		{"the processes just fit", server("max_connections", "43"), nil, pool, false, nil},
		{"the processes do not fit", server("max_connections", "42"), nil, pool, false, []verdict{{Warn, "2 processes may take 40 connections (20 each), and the server has 39"}}},
		{"a first process would not fit", server("max_connections", "22"), nil, Pool{Each: 20}, false, []verdict{{Warn, "1 processes may take 20"}}},
		{"others take them", busy, nil, pool, false, []verdict{{Warn, "90 of the server's 97 connections are in use"}}},
		{"SQLite is well", database.Inspection{Engine: "sqlite", Settings: map[string]string{"journal_mode": "wal", "synchronous": "2"}}, nil, Pool{}, false, nil},
		{"SQLite is on a disk of another machine", database.Inspection{Engine: "sqlite", Settings: map[string]string{"journal_mode": "delete", "synchronous": "2"}}, nil, Pool{}, false,
			[]verdict{{Fail, "journal_mode is delete"}}},
		{"SQLite takes no writes", database.Inspection{Engine: "sqlite", Settings: map[string]string{"journal_mode": "wal", "synchronous": "2"}}, errors.New("locked"), Pool{}, false,
			[]verdict{{Fail, "it takes no writes: locked"}}},
	} {
		requireVerdicts(t, c.sentence, c.want, Database(c.i, Write{true, c.write}, c.pool, c.remote))
	}
	require.Len(t, Database(server(), Write{}, pool, true), 2, "without tables no write was tried")
	require.True(t, Unread(fault.Unavailable.New("x", "Gone."))[0].Unavailable)
	require.False(t, Unread(errors.New("no such table"))[0].Unavailable)
	require.True(t, DatabaseAway(errors.New("refused"), false)[0].Unavailable)
	require.False(t, DatabaseAway(errors.New("no file"), true)[0].Unavailable)
}

func TestBroker(t *testing.T) {
	queues := func(change func(q *broker.InspectedQueue)) broker.Inspection {
		i := broker.Inspection{Product: "RabbitMQ", Version: "4.1.0", Type: "quorum", Queues: []broker.InspectedQueue{
			{Name: "dead", Role: broker.Dead, Consumers: 1}, {Name: "process", Role: broker.Process, Consumers: 2}, {Name: "retry.1s", Role: broker.Delayed, Ready: 7}}}
		for at := range i.Queues {
			change(&i.Queues[at])
		}
		return i
	}
	same := func(*broker.InspectedQueue) {}
	for _, c := range []struct {
		sentence string
		i        broker.Inspection
		err      error
		want     []verdict
	}{
		{"all is well", queues(same), nil, nil},
		{"it does not answer", broker.Inspection{}, errors.New("connection refused"), []verdict{{Fail, "connection refused"}}},
		{"it does not let us in", broker.Inspection{}, errors.Join(broker.ErrRefused, errors.New("x")), []verdict{{Fail, "refuses the user"}}},
		{"queues have another type", queues(func(q *broker.InspectedQueue) { q.Mismatch = q.Role == broker.Process }), nil, []verdict{{Fail, "other arguments than those of quorum queues: process"}}},
		{"no queue is there", queues(func(q *broker.InspectedQueue) { q.Missing = true }), nil, []verdict{{Warn, "queues are missing: dead, process, retry.1s"}}},
		{"nobody works", queues(func(q *broker.InspectedQueue) { q.Consumers = 0 }), nil, []verdict{{Warn, "nothing consumes"}}},
		{"unreadable messages wait", queues(func(q *broker.InspectedQueue) { q.Ready = 3 }), nil, []verdict{{Warn, "3 unreadable messages wait in dead"}}},
	} {
		requireVerdicts(t, c.sentence, c.want, Broker(c.i, c.err))
	}
	require.True(t, Broker(broker.Inspection{}, errors.New("x"))[0].Unavailable)
	require.False(t, Broker(broker.Inspection{}, broker.ErrRefused)[0].Unavailable, "it answers")
	requireVerdicts(t, "none", nil, NoBroker())
}

func TestCache(t *testing.T) {
	for _, c := range []struct {
		sentence string
		i        cache.Inspection
		err      error
		want     []verdict
	}{
		{"all is well", cache.Inspection{Version: "8.2.1", Major: 8, Limited: true, Eviction: "allkeys-lru"}, nil, nil},
		{"it does not tell", cache.Inspection{}, nil, nil},
		{"it does not answer", cache.Inspection{}, errors.New("refused"), []verdict{{Fail, "refused"}}},
		{"it is old", cache.Inspection{Version: "6.2.1", Major: 6}, nil, []verdict{{Fail, "Redis 6.2.1 is older than 7.0"}}},
		{"it will refuse writes", cache.Inspection{Version: "7.2.1", Major: 7, Limited: true, Eviction: "noeviction"}, nil, []verdict{{Warn, "noeviction"}}},
		{"without a limit it does not matter", cache.Inspection{Version: "7.2.1", Major: 7, Eviction: "noeviction"}, nil, nil},
	} {
		requireVerdicts(t, c.sentence, c.want, Cache(c.i, c.err))
	}
	require.True(t, Cache(cache.Inspection{}, errors.New("x"))[0].Unavailable)
	requireVerdicts(t, "processes apart have no limits", []verdict{{Warn, "no limits per minute"}}, NoCache(true))
	requireVerdicts(t, "one process has its own", nil, NoCache(false))
}

func TestClock(t *testing.T) {
	for _, c := range []struct {
		ahead time.Duration
		err   error
		want  []verdict
	}{
		{0, nil, nil}, {time.Second, nil, nil},
		{1001 * time.Millisecond, nil, []verdict{{Warn, "1.001s apart"}}}, {-30 * time.Second, nil, []verdict{{Warn, "30s apart"}}},
		{-31 * time.Second, nil, []verdict{{Fail, "31s apart"}}}, {0, errors.New("gone"), []verdict{{Fail, "gone"}}},
	} {
		requireVerdicts(t, c.ahead.String(), c.want, Clock(c.ahead, c.err))
	}
}

func TestSchemaAndPartitions(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		sentence string
		s        database.Schema
		err      error
		want     []verdict
	}{
		{"all is well", database.Schema{Version: 3, Needed: 3}, nil, nil},
		{"there are no tables", database.Schema{Needed: 3}, nil, []verdict{{Fail, "no tables yet"}}},
		{"it is old", database.Schema{Version: 2, Needed: 3}, nil, []verdict{{Fail, "version 2 is older than 3"}}},
		{"it is new", database.Schema{Version: 4, Needed: 3}, nil, []verdict{{Warn, "version 4 is newer than 3"}}},
		{"it is new, and not for this program", database.Schema{Version: 4, Needed: 3, MinReader: 4}, nil, []verdict{{Fail, "only programs of version 4 and later"}}},
		{"it becomes new", database.Schema{Version: 4, Needed: 3, Dirty: true}, nil, []verdict{{Warn, "migration 4 has not finished"}}},
		{"a migration was killed", database.Schema{Version: 3, Needed: 3, Dirty: true}, nil, []verdict{{Fail, "migration 3 has not finished"}}},
		{"no release made it", database.Schema{Version: 3, Needed: 3, Wrong: []string{"no column a.b text"}}, nil, []verdict{{Fail, "it has no column a.b text"}}},
		{"an index is missing", database.Schema{Version: 3, Needed: 3, Slow: []string{"no index a_b on a (b)"}}, nil, []verdict{{Warn, "no index a_b on a (b)"}}},
		{"it cannot be read", database.Schema{}, errors.New("gone"), []verdict{{Fail, "gone"}}},
	} {
		requireVerdicts(t, c.sentence, c.want, Schema(c.s, c.err))
	}
	requireVerdicts(t, "weeks ahead", nil, Partitions(21*day, true, nil))
	requireVerdicts(t, "days ahead", []verdict{{Warn, "the next 144 hours only"}}, Partitions(6*day, true, nil))
	requireVerdicts(t, "none ahead", []verdict{{Fail, "webhooks cannot be stored"}}, Partitions(0, true, nil))
	requireVerdicts(t, "unknown", []verdict{{Fail, "gone"}}, Partitions(0, true, errors.New("gone")))
	require.Empty(t, Partitions(0, false, nil), "SQLite has none")
}

func TestKeys(t *testing.T) {
	broken := secrets.Opened{Tried: 5, Failed: []secrets.Failure{{Kind: "sources", Of: "acme", Problem: "damaged"}}}
	requireVerdicts(t, "all is well", nil, Keys(true, nil, secrets.Opened{Tried: 5}, nil))
	requireVerdicts(t, "nothing is stored", nil, Keys(true, nil, secrets.Opened{}, nil))
	requireVerdicts(t, "it is another key", []verdict{{Fail, "the key abc is needed"}}, Keys(true, errors.New("the key abc is needed"), broken, nil))
	requireVerdicts(t, "one is damaged", []verdict{{Fail, "1 of 5 stored secrets cannot be opened, such as that of acme (sources): damaged"}}, Keys(true, nil, broken, nil))
	requireVerdicts(t, "there is no key", []verdict{{Warn, "in plain text"}}, Keys(false, nil, secrets.Opened{Tried: 1}, nil))
	requireVerdicts(t, "they cannot be read", []verdict{{Fail, "gone"}}, Keys(true, nil, secrets.Opened{}, errors.New("gone")))
}

func TestEgress(t *testing.T) {
	to := func(err error) Destination { return Destination{ID: "1", Source: "acme", Host: "h.example", Err: err} }
	requireVerdicts(t, "nowhere", nil, Egress("r", nil, nil, false))
	requireVerdicts(t, "all is well", nil, Egress("r", nil, []Destination{to(nil), to(nil)}, false))
	requireVerdicts(t, "one is refused", []verdict{{Fail, "1 of acme (h.example) is refused: "}}, Egress("r", nil, []Destination{to(nil), to(egress.Private)}, false))
	requireVerdicts(t, "one has no address", []verdict{{Warn, "no such host"}}, Egress("r", nil, []Destination{to(errors.New("no such host"))}, false))
	requireVerdicts(t, "the proxy is away", []verdict{{Fail, "the egress proxy is unreachable"}}, Egress("r", &egress.ProxyError{Err: errors.New("refused")}, nil, false))
	many := make([]Destination, 13)
	for i := range many {
		many[i] = to(errors.New("no such host"))
	}
	found := Egress("r", nil, many, true)
	require.Len(t, found, 1+10+2)
	require.Contains(t, found[11].Text, "3 further destinations")
	require.Contains(t, found[12].Text, "only the first 13")
}

func TestProcesses(t *testing.T) {
	p := func(role, version string) Process { return Process{Role: role, Version: version} }
	requireVerdicts(t, "all is well", nil, Processes([]Process{p("serve", "v1"), p("work", "v1")}, "v1"))
	requireVerdicts(t, "one is both", nil, Processes([]Process{p("both", "v1")}, "v1"))
	requireVerdicts(t, "nothing runs", nil, Processes(nil, "v1"))
	requireVerdicts(t, "nobody works", []verdict{{Warn, "none delivers"}}, Processes([]Process{p("serve", "v1")}, "v1"))
	requireVerdicts(t, "nobody serves", []verdict{{Warn, "none takes webhooks"}}, Processes([]Process{p("work", "v1")}, "v1"))
	requireVerdicts(t, "an upgrade is under way", []verdict{{Warn, "v1, v2"}}, Processes([]Process{p("serve", "v2"), p("work", "v1")}, "v2"))
	wrong := Process{Role: "both", Version: "v1", Host: "b", ID: "7", AheadMS: -600_000}
	requireVerdicts(t, "a clock is behind", []verdict{{Warn, "the clock of both on b (7) is 10m0s behind the database's"}}, Processes([]Process{p("both", "v1"), wrong}, "v1"))
	wrong.AheadMS = 1099
	requireVerdicts(t, "or ahead", []verdict{{Warn, "is 1.1s ahead of the database's"}}, Processes([]Process{wrong}, "v1"))
	wrong.AheadMS = 1000
	requireVerdicts(t, "by a second at most", nil, Processes([]Process{wrong}, "v1"))
	requireVerdicts(t, "the command line is another", []verdict{{Warn, "have the version v1, and this program v2"}}, Processes([]Process{p("both", "v1")}, "v2"))
}

func TestMachine(t *testing.T) {
	requireVerdicts(t, "room", nil, Disk(10<<30, 100<<30, nil))
	requireVerdicts(t, "little room", []verdict{{Warn, "1.0 GiB are free of 10.0 GiB"}}, Disk(1<<30, 10<<30, nil))
	requireVerdicts(t, "a small part of a large disk", []verdict{{Warn, "free"}}, Disk(4<<30, 100<<30, nil))
	requireVerdicts(t, "no room", []verdict{{Fail, "100.0 MiB are free"}}, Disk(100<<20, 10<<30, nil))
	requireVerdicts(t, "unknown", []verdict{{Warn, "cannot be read: gone"}}, Disk(0, 0, errors.New("gone")))
	requireVerdicts(t, "unsupported", nil, Disk(0, 0, errors.ErrUnsupported))
	free, total, err := Free(t.TempDir())
	require.NoError(t, err)
	require.Positive(t, free)
	require.Greater(t, total, free)
	requireVerdicts(t, "own file", nil, File(0o600))
	requireVerdicts(t, "everybody's file", []verdict{{Warn, "-rw-r--r--"}}, File(0o644))

	cfg := config.Config{Fingerprint: "abc"}
	requireVerdicts(t, "settings", nil, Settings(cfg, "serve", nil, nil))
	requireVerdicts(t, "mistakes", []verdict{{Fail, "A: wrong"}, {Fail, "b in x.yaml: wrong"}, {Warn, "C: unknown"}},
		Settings(cfg, "serve", config.Mistakes{{Name: "A", Problem: "wrong", Fix: "mend"}, {Name: "B", Where: "b in x.yaml", Problem: "wrong", Fix: "mend"}},
			[]config.Mistake{{Name: "C", Problem: "unknown", Fix: "D?"}}))
}

func TestCertificates(t *testing.T) {
	authority := testkit.NewAuthority(t)
	issue := func(life, left time.Duration) tlsfiles.Paths {
		pair := authority.Issue(life, left)
		dir := t.TempDir()
		p := tlsfiles.Paths{Cert: filepath.Join(dir, "c"), Key: filepath.Join(dir, "k")}
		require.NoError(t, os.WriteFile(p.Cert, pair.Cert, 0o600))
		require.NoError(t, os.WriteFile(p.Key, pair.Key, 0o600))
		return p
	}
	const day = 24 * time.Hour
	for _, c := range []struct {
		sentence string
		paths    tlsfiles.Paths
		want     []verdict
	}{
		{"none", tlsfiles.Paths{}, nil},
		{"good", issue(91*day, 90*day), nil},
		{"short-lived and good", issue(7*day, 6*day), nil},
		{"soon", issue(93*day, 13*day), []verdict{{Warn, "TLS_CERT_FILE: it expires on"}}},
		{"over", issue(80*day, -time.Hour), []verdict{{Fail, "it expired on"}}},
		{"not yet", issue(79*day, 80*day), []verdict{{Fail, "it is valid from"}}},
		{"not there", tlsfiles.Paths{Cert: "nowhere", Key: "nowhere"}, []verdict{{Fail, "cannot be read"}}},
	} {
		requireVerdicts(t, c.sentence, c.want, Certificates(map[string]tlsfiles.Paths{"TLS_CERT_FILE": c.paths}, clock.System()))
	}
}

func TestExposure(t *testing.T) {
	for _, c := range []struct {
		sentence, role string
		cfg            config.Config
		want           []verdict
	}{
		{"this machine alone", "serve", config.Config{HTTP: config.HTTP{Host: "127.0.0.1"}, MetricsAddr: "localhost:9464"}, nil},
		{"one listener for all", "serve", config.Config{HTTP: config.HTTP{Host: "0.0.0.0"}}, []verdict{{Warn, "answered where webhooks are"}}},
		{"apart, on this machine", "serve", config.Config{HTTP: config.HTTP{Host: "0.0.0.0"}, ManagementAddr: "127.0.0.1:1"}, nil},
		{"apart, without TLS", "serve", config.Config{ManagementAddr: "10.0.0.5:1"}, []verdict{{Warn, "without TLS"}}},
		{"apart, with TLS", "serve", config.Config{ManagementAddr: ":1", Listeners: config.Listeners{Management: tlsfiles.Paths{Cert: "c"}}}, nil},
		{"metrics for everyone", "work", config.Config{MetricsAddr: ":9464"}, []verdict{{Warn, "METRICS_ADDR"}}},
		{"a worker has no management", "work", config.Config{HTTP: config.HTTP{Host: "0.0.0.0"}}, nil},
		{"plain webhooks", "serve", config.Config{Env: config.Production, HTTP: config.HTTP{Host: "::1", PublicBaseURL: "http://h"}}, []verdict{{Warn, "PUBLIC_BASE_URL"}}},
		{"everyone is a proxy", "serve", config.Config{HTTP: config.HTTP{Host: "::1", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("::/0"), netip.MustParsePrefix("0.0.0.0/0")}}}, []verdict{{Warn, "TRUSTED_PROXIES"}}},
		{"the demo key, here", "dev", config.Config{HTTP: config.HTTP{Host: "127.0.0.1"}, ManagementKey: secret.New(config.DemoKey)}, nil},
		{"the demo key, everywhere", "dev", config.Config{HTTP: config.HTTP{Host: "0.0.0.0"}, ManagementKey: secret.New(config.DemoKey)}, []verdict{{Warn, "answered"}, {Fail, "well-known"}}},
	} {
		requireVerdicts(t, c.sentence, c.want, Exposure(c.cfg, c.role))
	}
}

func TestEachCheckHasADeadlineOfItsOwn(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	found := Run(t.Context(), 50*time.Millisecond, []Check{
		{"hangs", func(context.Context) []Finding { <-release; return nil }},
		{"heeds its context", func(ctx context.Context) []Finding { <-ctx.Done(); return []Finding{warn("f", "late")} }},
		{"is quick", func(context.Context) []Finding { return []Finding{ok("a"), ok("b")} }},
	})
	require.Equal(t, "hangs", found[0].Check)
	require.Equal(t, Fail, found[0].Status)
	require.True(t, found[0].Unavailable)
	require.Contains(t, found[0].Text, "no result within 50ms")
	require.Equal(t, "heeds its context", found[1].Check)
	require.Equal(t, []Finding{{"is quick", OK, "a", "", false}, {"is quick", OK, "b", "", false}}, found[len(found)-2:])
	worst, unavailable := Worst(found)
	require.Equal(t, Fail, worst)
	require.True(t, unavailable)
	worst, unavailable = Worst([]Finding{ok("a"), warn("b", "c")})
	require.Equal(t, Warn, worst)
	require.False(t, unavailable)
}
