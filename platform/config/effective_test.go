package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func settingOf(t *testing.T, c Config, name string) Setting {
	t.Helper()
	for _, s := range c.Settings {
		if s.Name == name {
			s.given = ""
			return s
		}
	}
	require.Fail(t, "no setting", name)
	return Setting{}
}

func TestEachSettingTellsWhereItCameFrom(t *testing.T) {
	path := file(t, "log_level: debug\nrabbitmq_url: amqp://u:p4ssw0rd@h/\napp_port: 4000\nwork_http_addr: 127.0.0.1:9\n")
	setup(t, enough, map[string]string{"RABBITMQ_URL": "", "APP_PORT": "5000", "NODE_ENV": "test", "LOG_LEVEL": ""})
	c, err := Load(Options{Role: Serve, Both: true, Path: path, Flags: map[string]string{"DELIVERY_CONCURRENCY": "7"}})
	require.NoError(t, err)
	for _, want := range []Setting{
		{Name: "DELIVERY_CONCURRENCY", Value: "7", Origin: FromFlag},
		{Name: "APP_PORT", Value: "5000", Origin: FromEnvironment, From: "APP_PORT"},
		{Name: "RABBITMQ_URL", Origin: FromEnvironment, From: "RABBITMQ_URL", Secret: true}, // turned off
		{Name: "APP_ENV", Value: "test", Origin: FromEnvironment, From: "NODE_ENV"},
		{Name: "LOG_LEVEL", Value: "debug", Origin: FromFile, From: "log_level in " + path, Reloads: true},
		{Name: "WORK_HTTP_ADDR", Value: "127.0.0.1:9", Origin: FromFile, From: "work_http_addr in " + path},
		{Name: "RETENTION_AUDIT", Value: "400d", Origin: FromDefault},
		{Name: "REDIS_URL", Origin: FromDefault, Secret: true},
	} {
		require.Equal(t, want, settingOf(t, c, want.Name))
	}
	require.Len(t, c.Settings, len(settings(new(Config))))
}

// TestValuesAreThoseInEffect: a default that depends on other settings is shown as it is used.
func TestValuesAreThoseInEffect(t *testing.T) {
	for _, c := range []struct {
		name, value string
		role        Role
		env         map[string]string
	}{
		{"APP_HOST", "0.0.0.0", Serve, nil},
		{"APP_HOST", "127.0.0.1", Dev, nil},
		{"METRICS_ADDR", workMetricsAddr, Work, nil},
		{"EGRESS_ALLOW", "127.0.0.0/8,::1/128", Serve, nil},
		{"EGRESS_ALLOW", "", Serve, map[string]string{"EGRESS_ALLOW": ""}},
		{"MANAGEMENT_API_KEY", redacted, Dev, nil},
		{"DELIVERY_TIMEOUT_MS", "7500", Work, map[string]string{"PROCESSING_LOCK_TTL_SECONDS": "10"}},
		{"RETRY_MAX_DELAY_MS", "3600000", Work, map[string]string{"RETRY_BASE_DELAY_MS": "3600000"}},
		{"RETENTION_EVENTS", "365d", Work, map[string]string{"IDEMPOTENCY_TTL_SECONDS": "31536000"}},
		{"RETENTION_EVENTS", "8700h", Work, map[string]string{"IDEMPOTENCY_TTL_SECONDS": "31320000"}},
	} {
		setup(t, enough, c.env)
		cfg, err := Load(Options{Role: c.role})
		require.NoError(t, err)
		require.Equal(t, c.value, settingOf(t, cfg, c.name).Value, "%s of %s", c.name, c.role)
	}
	setup(t)
	cfg, err := Load(Options{Role: Dev})
	require.NoError(t, err)
	for _, s := range cfg.Settings {
		require.False(t, ownOfDev[s.Name], "%s has no effect on dev", s.Name)
	}
}

func TestNoSecretIsShown(t *testing.T) {
	keyFile := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(keyFile, []byte(goodSecrets), 0o600))
	all := map[string]string{
		"DATABASE_URL": "postgres://gateway:hunter2@h/d?password=hunter2&sslmode=require", "REDIS_URL": "rediss://:hunter2@h:1/0", "RABBITMQ_URL": "amqp://u:hunter2@h/",
		"MANAGEMENT_API_KEY": "hunter2-hunter2-hunter2", "SECRETS_KEY_FILE": keyFile, "SECRETS_READ_KEYS": "hunter2-" + goodSecrets,
		"EGRESS_PROXY": "http://u:hunter2@h:1", "ALERT_WEBHOOK_URL": "https://u:hunter2@h/hunter2?t=hunter2", "ALERT_WEBHOOK_SECRET": "hunter2-hunter2-hunter2",
		"ALERT_SLACK_URL": "https://hooks.slack.com/services/hunter2", "TLS_KEY_FILE": "-----BEGIN PRIVATE KEY-----\nhunter2", "SECRETS_KEY": "",
		"ALERT_EMAIL_URL": "smtp://u:hunter2@h:587", "ALERT_EMAIL_FROM": "a@example.com", "ALERT_EMAIL_TO": "b@example.com",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://u:hunter2@h:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://u:hunter2@h:4318/x?key=hunter2",
		"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20hunter2", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "api-key=hunter2",
	}
	setup(t, all)
	require.NoError(t, os.Unsetenv("SECRETS_KEY"))
	c, mistakes := Inspect(Options{Role: Serve})
	require.Len(t, mistakes, 1, "TLS_CERT_FILE is not set: %s", mistakes)
	text, err := json.Marshal(c.Settings)
	require.NoError(t, err)
	require.NotContains(t, string(text), "hunter2")
	require.NotContains(t, string(text), goodSecrets)
	for name := range withSecrets {
		if name != "SECRETS_KEY" {
			require.NotEmpty(t, settingOf(t, c, name).Value, "%s is set, and that may be known", name)
		}
	}
	require.Equal(t, "postgres://gateway:"+redacted+"@h/d?password="+redacted+"&sslmode=require", settingOf(t, c, "DATABASE_URL").Value)
	require.Equal(t, keyFile, settingOf(t, c, "SECRETS_KEY_FILE").Value)

	for name := range withSecrets { // what is not understood may be a secret too
		setup(t, enough, map[string]string{name: "hunter2 \x01"})
		c, _ := Inspect(Options{Role: Serve})
		require.NotContains(t, settingOf(t, c, name).Value, "hunter2", name)
	}
}

func TestShownURL(t *testing.T) {
	for _, c := range []struct{ url, shown string }{
		{"postgres://h/d", "postgres://h/d"},
		{"postgres://u@h/d", "postgres://" + redacted + "@h/d"},
		{"postgres://u:p@h1:1,h2:2/d?sslmode=disable&connect_timeout=3", "postgres://u:" + redacted + "@h1:1,h2:2/d?sslmode=disable&connect_timeout=3"},
		{"postgres://u:p@w@h/d", "postgres://u:" + redacted + "@h/d"},
		{"postgres://u:p/w@h/d", "postgres://u:p/" + redacted}, // not well-formed: Inspect does not show it
		{"postgres:///d?host=/run/postgresql&user=u&pass=p", "postgres:///d?host=/run/postgresql&user=u&pass=" + redacted},
		{"redis://:p@h:6379/0", "redis://:" + redacted + "@h:6379/0"},
		{"unix:///run/redis.sock?db=1&password=p", "unix:///run/redis.sock?db=1&password=" + redacted},
		{"amqps://u:p@h:5671/%2F?heartbeat=5&keyfile=/k", "amqps://u:" + redacted + "@h:5671/%2F?heartbeat=5&keyfile=" + redacted},
		{"sqlite://data/gateway.db", "sqlite://data/gateway.db"},
		{"http://h:1#p", "http://h:1#" + redacted},
		{"no url", redacted},
	} {
		require.Equal(t, c.shown, ShownURL(c.url), c.url)
	}
}

func TestAReloadChangesWhatItCan(t *testing.T) {
	setup(t, enough)
	load := func() Config {
		c, err := Load(Options{Role: Serve})
		require.NoError(t, err)
		return c
	}
	before := load()
	t.Setenv("LOG_LEVEL", "debug")
	level := load()
	t.Setenv("APP_PORT", "1234")
	settings, fingerprint := Reloaded(before.Settings, load().Settings)
	require.Equal(t, level.Fingerprint, fingerprint, "a restart with this level alone has the same")
	require.NotEqual(t, before.Fingerprint, fingerprint)
	after := Config{Settings: settings}
	require.Equal(t, "debug", settingOf(t, after, "LOG_LEVEL").Value)
	require.Equal(t, "3000", settingOf(t, after, "APP_PORT").Value)
	require.Equal(t, "info", settingOf(t, before, "LOG_LEVEL").Value, "the process's own are not changed in place")
}

func TestMisspeltVariablesAreFound(t *testing.T) {
	found := Misspelt([]string{"DATABASE_URI=x", "PATH=/bin", "LOG_LEVEL=info", "WEBHOOK_MAX_BODY_BYTE=1", "MY_APP_DATABASE_URL=x", "GATEWAY_API_URL=x", "APP_NAME=x", "NODE_ENV=test"})
	var names []string
	for _, m := range found {
		names = append(names, m.Name+" "+m.Fix)
		require.NotContains(t, m.Problem, "x,")
	}
	require.Equal(t, []string{"DATABASE_URI did you mean DATABASE_URL?", "WEBHOOK_MAX_BODY_BYTE did you mean WEBHOOK_MAX_BODY_BYTES?"}, names)
}

func TestInspectReturnsWhatCouldBeReadBesideAllMistakes(t *testing.T) {
	setup(t, enough, map[string]string{"APP_PORT": "many", "LOG_LEVEL": "loud"})
	c, mistakes := Inspect(Options{Role: Serve})
	require.Len(t, mistakes, 2)
	require.Equal(t, goodDatabase, c.Database.URL.Reveal())
	require.Equal(t, "many", settingOf(t, c, "APP_PORT").Value)
	require.True(t, strings.HasPrefix(mistakes.Error(), "the configuration is wrong:"))
	_, err := Load(Options{Role: Serve})
	require.Equal(t, mistakes, err)
}
