package app

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/app/doctor"
	"integration-gateway/platform/config"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// serversConfig is a configuration of serve on the servers of the tests.
func serversConfig(t *testing.T, url string) config.Config {
	t.Helper()
	prefix := "gateway.test." + id.New()
	cfg, err := config.Load(config.Options{Role: config.Serve, Path: listedFile(t), Flags: map[string]string{
		"DATABASE_URL": url, "RABBITMQ_URL": testkit.Server(t, testkit.RabbitMQVariable), "REDIS_URL": testkit.Server(t, testkit.RedisVariable),
		"MANAGEMENT_API_KEY": "k-5f0c2b7e9a1d4c83", "SECRETS_KEY": strings.Repeat("k3y-", 12), "APP_HOST": "127.0.0.1",
		"RABBITMQ_PROCESS_QUEUE": prefix + ".process", "RABBITMQ_RETRY_QUEUE": prefix + ".retry", "RABBITMQ_REPLAY_QUEUE": prefix + ".replay", "RABBITMQ_DEAD_QUEUE": prefix + ".dead"}})
	require.NoError(t, err)
	cfg.Version = "v1"
	return cfg
}

func of(found []doctor.Finding, check string) []doctor.Finding {
	return slices.DeleteFunc(slices.Clone(found), func(f doctor.Finding) bool { return f.Check != check })
}

func TestAnExaminationOfServers(t *testing.T) {
	url := testkit.Postgres(t)
	cfg := serversConfig(t, url)
	o := DoctorOptions{Role: "serve", Timeout: time.Minute}
	found := Examine(t.Context(), cfg, o)
	for _, check := range []string{"settings", "database", "broker", "cache", "disk", "certificates", "exposure", "schema", "clock", "keys", "egress", "processes"} {
		require.NotEmpty(t, of(found, check), check)
		for _, f := range of(found, check) {
			if !strings.HasSuffix(f.Text, " is off") { // a server for tests need not keep anything
				require.NotEqual(t, doctor.Fail, f.Status, "%+v", f)
			}
		}
	}
	require.Contains(t, of(found, "broker")[1].Text, "queues are missing", "and none was made")
	require.Contains(t, of(Examine(t.Context(), cfg, o), "broker")[1].Text, "queues are missing")

	db := testkit.Open(t, url)
	change(t, db, `INSERT INTO processes (id, role, version, host, started_at, seen_at, beats, clock_ahead_ms) VALUES ($1, 'serve', 'v0', 'h', $2, $2, 1, 0)`, id.New(), db.Now())
	change(t, db, `UPDATE schema_migrations SET dirty = true`)
	cfg.Database.MaxConnections = 100_000
	found = Examine(t.Context(), cfg, o)
	require.Equal(t, doctor.Fail, of(found, "schema")[0].Status)
	require.Contains(t, of(found, "schema")[0].Text, "has not finished")
	require.Contains(t, of(found, "keys")[0].Text, "it needs the schema")
	change(t, db, `UPDATE schema_migrations SET dirty = false`)
	found = Examine(t.Context(), cfg, o)
	processes := of(found, "processes")
	require.Contains(t, processes[0].Text, "none delivers")
	require.Contains(t, processes[1].Text, "they have the version v0")
	room := of(found, "database")
	require.Contains(t, room[len(room)-1].Text, "1 processes may take 100000 connections")
}

func TestAnExaminationWithoutTheDatabaseSkipsTheRest(t *testing.T) {
	cfg := serversConfig(t, "postgres://u:hunter2@127.0.0.1:1/d")
	found := Examine(t.Context(), cfg, DoctorOptions{Role: "serve", Timeout: 2 * time.Second})
	require.True(t, of(found, "database")[0].Unavailable)
	for _, check := range []string{"schema", "clock", "keys", "egress", "processes"} {
		require.Contains(t, of(found, check)[0].Text, "needs the database", check)
	}
	for _, f := range found {
		require.NotContains(t, f.Text+f.Fix, "hunter2")
	}
	cfg.Database.URL = secret.Value{}
	found = Examine(t.Context(), cfg, DoctorOptions{Role: "serve", Timeout: 2 * time.Second})
	require.Equal(t, doctor.Fail, of(found, "database")[0].Status)
	require.Contains(t, of(found, "database")[0].Text, "DATABASE_URL is not set")
}

func change(t *testing.T, db *database.DB, query string, args ...any) {
	t.Helper()
	require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
		_, err := tx.Exec(t.Context(), query, args...)
		return err
	}))
}
