package database_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/testkit"
)

// sessionSettings are those that statements depend on, as a transaction and a list see them.
const sessionSettings = `
SELECT current_setting('statement_timeout') || ' ' || current_setting('lock_timeout') || ' ' || current_setting('jit') || ' ' ||
       current_setting('timezone') || ' ' || current_setting('idle_in_transaction_session_timeout') || ' ' || current_setting('enable_seqscan') || ' ' ||
       current_setting('plan_cache_mode') || ' ' || current_setting('max_parallel_workers_per_gather')`

func settingsOf(t *testing.T, db *database.DB) (write, read string) {
	t.Helper()
	require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error { return tx.Get(t.Context(), &write, sessionSettings) }))
	require.NoError(t, db.Get(t.Context(), &read, sessionSettings))
	return write, read
}

func TestPgBouncerInSessionModeKeepsTheSettings(t *testing.T) {
	direct := testkit.Postgres(t)
	wantWrite, wantRead := settingsOf(t, testkit.Open(t, direct))
	require.True(t, strings.HasPrefix(wantWrite, "10s 5s off UTC 15s off force_generic_plan "), wantWrite)
	require.True(t, strings.HasPrefix(wantRead, "10s 5s off UTC 15s on auto 0"), wantRead)
	for _, lines := range []string{"", "ignore_startup_parameters = extra_float_digits,statement_timeout,lock_timeout,jit"} {
		db := testkit.Open(t, testkit.PgBouncer(t, direct, "session", lines))
		write, read := settingsOf(t, db)
		require.Equal(t, wantWrite, write)
		require.Equal(t, wantRead, read)
		require.NoError(t, db.CheckWritable(t.Context()))
		schema, err := db.Schema(t.Context())
		require.NoError(t, err)
		require.Equal(t, schema.Needed, schema.Version)
	}
}

func TestMigrationsRunThroughPgBouncerInSessionMode(t *testing.T) {
	db := testkit.Open(t, testkit.PgBouncer(t, testkit.EmptyPostgres(t), "session"))
	require.NoError(t, db.MigrateUp())
	require.NoError(t, db.CheckSchema(t.Context()))
}

func TestAURLsOwnSettingsOverrideThroughPgBouncer(t *testing.T) {
	u := testkit.PgBouncer(t, testkit.Postgres(t), "session") + "&statement_timeout=7s&default_transaction_read_only=on"
	if !strings.Contains(u, "?") {
		u = strings.Replace(u, "&", "?", 1)
	}
	db := testkit.Open(t, u)
	write, read := settingsOf(t, db)
	require.True(t, strings.HasPrefix(write, "7s 5s "), write)
	require.True(t, strings.HasPrefix(read, "7s 5s "), read)
	require.True(t, fault.Is(db.CheckWritable(t.Context()), fault.Unavailable))

	wrong := openWith(t, database.Config{URL: u + "&keepalivez=1"})
	require.ErrorContains(t, wrong.Ping(t.Context()), "keepalivez")
}

func TestAPgBouncerWithoutASpareSessionIsNotTakenForAnother(t *testing.T) {
	db := openWith(t, database.Config{URL: testkit.PgBouncer(t, testkit.Postgres(t), "session", "default_pool_size = 1"), MaxConnections: 3})
	require.NoError(t, db.Ping(t.Context()))
}

func TestPgBouncerInAnotherModeIsRefusedByName(t *testing.T) {
	direct := testkit.Postgres(t)
	for _, mode := range []string{"transaction", "statement"} {
		for _, line := range []string{"", "server_round_robin = 1", "min_pool_size = 3"} {
			db := testkit.Open(t, testkit.PgBouncer(t, direct, mode, line))
			for range 3 { // it never depends on which session is free
				err := db.Ping(t.Context())
				require.ErrorContains(t, err, "pool_mode = session", "%s %s", mode, line)
				require.False(t, fault.Is(err, fault.Unavailable), "waiting does not help at the start")
			}
		}
	}
}

// fakeStandby answers the health check as a standby does, and counts the sessions that ask
// for anything else.
func fakeStandby(t *testing.T, question []byte) (address string, sessions func() int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	var mu sync.Mutex
	others := 0
	answer := func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		got := make([]byte, len(question))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != string(question) {
			mu.Lock()
			others++
			mu.Unlock()
			return
		}
		_, _ = conn.Write([]byte("D\x00\x00\x00\x0b\x00\x01\x00\x00\x00\x01t"))
		_, _ = io.Copy(io.Discard, conn)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answer(conn)
		}
	}()
	return listener.Addr().String(), func() int {
		mu.Lock()
		defer mu.Unlock()
		return others
	}
}

// TestHaproxyLeadsToThePrimary runs deploy/haproxy/haproxy.cfg with a standby as its first
// server and a primary as its second.
func TestHaproxyLeadsToThePrimary(t *testing.T) {
	text, err := os.ReadFile("../../deploy/haproxy/haproxy.cfg")
	require.NoError(t, err)
	binary := testkit.Program(t, "haproxy", "haproxy")
	u, err := url.Parse(testkit.Postgres(t))
	require.NoError(t, err)
	admin := testkit.Open(t, testkit.Server(t, testkit.PostgresVariable))
	require.NoError(t, admin.InTx(t.Context(), func(tx *database.Tx) error { // the role of the file's head
		_, err := tx.Exec(t.Context(), `DO $$ BEGIN CREATE ROLE haproxy_check LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$`)
		return err
	}))

	var question []byte
	for line := range strings.Lines(string(text)) {
		if _, sent, ok := strings.Cut(line, "tcp-check send-binary "); ok {
			part, err := hex.DecodeString(strings.TrimSpace(sent))
			require.NoError(t, err)
			question = append(question, part...)
		}
	}
	standby, others := fakeStandby(t, question)
	address := testkit.FreeAddress(t)
	conf := string(text)
	for _, replacement := range [][2]string{{"bind :5432", "bind " + address}, {"db1:5432", standby}, {"db2:5432", u.Host}} {
		require.Equal(t, 1, strings.Count(conf, replacement[0]+"\n")+strings.Count(conf, replacement[0]+" backup\n"), replacement[0])
		conf = strings.Replace(conf, replacement[0]+"\n", replacement[1]+"\n", 1)
		conf = strings.Replace(conf, replacement[0]+" backup\n", replacement[1]+" backup\n", 1)
	}
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	require.NoError(t, os.WriteFile(path, []byte(conf), 0o600))
	testkit.Run(t, []string{address}, binary, "-db", "-f", path)

	u.Host = address
	db, err := database.Open(database.Config{URL: u.String()}, clock.System)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, db.WaitReady(ctx, slog.New(slog.DiscardHandler)), "the first server is found to be a standby")
	before := others()
	for range 3 {
		require.NoError(t, db.CheckWritable(ctx))
	}
	require.Equal(t, before, others(), fmt.Sprintf("sessions that reached the standby, of which %d before the first check", before))
}
