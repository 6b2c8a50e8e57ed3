package cli

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/app"
	"integration-gateway/platform/config"
)

// valid are settings that a `serve` starts with.
var valid = []string{"DATABASE_URL", "postgres://gateway:hunter2@db.internal:5432/gateway", "RABBITMQ_URL", "amqp://u:hunter2@h/", "MANAGEMENT_API_KEY", "k-5f0c2b7e9a1d4c83"}

func TestConfigCheckNamesEveryMistakeAtOnce(t *testing.T) {
	setup(t, append(valid, "APP_PORT", "many", "REDIS_URL", "redis://h:x/0?bad=1", "LOG_LEVEL", "loud", "WEBHOOK_MAX_BODY_BYTE", "5")...)
	code, stdout, stderr := runLine(t, "config check")
	require.Equal(t, exitUsage, code)
	for _, part := range []string{"fail  APP_PORT: \"many\"", "fail  LOG_LEVEL: \"loud\"", "fail  REDIS_URL: ", "warn  WEBHOOK_MAX_BODY_BYTE: there is no such setting", "did you mean WEBHOOK_MAX_BODY_BYTES?", "write one of debug"} {
		require.Contains(t, stdout, part)
	}
	require.Equal(t, "gateway: the configuration is wrong: 3 mistakes\n", stderr)

	code, stdout, _ = runLine(t, "config check -o json")
	require.Equal(t, exitUsage, code)
	var r checked
	require.NoError(t, json.Unmarshal([]byte(stdout), &r))
	require.False(t, r.Valid)
	require.Len(t, r.Mistakes, 3)
	require.Equal(t, "WEBHOOK_MAX_BODY_BYTE", r.Warnings[0].Name)
	_, stdout, _ = runLine(t, "config check -q")
	require.Equal(t, "APP_PORT\nLOG_LEVEL\nREDIS_URL\n", stdout)
	require.NotContains(t, stdout, "hunter2")
}

func TestConfigCheckIsForARole(t *testing.T) {
	setup(t, "DATABASE_URL", "sqlite://x.db")
	for _, c := range []struct {
		line string
		code int
		says string
	}{
		{"config check", exitUsage, "SQLite serves one process"},
		{"config check --role work", exitUsage, "RABBITMQ_URL: it is not set"},
		{"config check --role both", exitUsage, "MANAGEMENT_API_KEY: it is not set"},
		{"config check --role dev", 0, "The configuration for dev is valid; its fingerprint is "},
		{"config check --role srve", exitUsage, "--role must be one of serve, work, both, dev"},
	} {
		code, stdout, stderr := runLine(t, c.line)
		require.Equal(t, c.code, code, c.line)
		require.Contains(t, stdout+stderr, c.says, c.line)
	}
	require.NoFileExists(t, "x.db")
}

func TestConfigShow(t *testing.T) {
	setup(t, append(valid, "APP_PORT", "4000")...)
	code, stdout, stderr := runLine(t, "config show")
	require.Zero(t, code, stderr)
	require.Regexp(t, `(?m)^APP_PORT +4000 +environment +APP_PORT *$`, stdout)
	require.Regexp(t, `(?m)^DATABASE_URL +postgres://gateway:\[redacted\]@db\.internal:5432/gateway +environment`, stdout)
	require.Regexp(t, `(?m)^LOG_LEVEL +info +default`, stdout)
	require.NotContains(t, stdout, "hunter2")
	require.NotContains(t, stdout, "k-5f0c2b7e9a1d4c83")

	_, stdout, _ = runLine(t, "config show -o json --changed")
	var r app.SettingsReport
	require.NoError(t, json.Unmarshal([]byte(stdout), &r))
	require.Len(t, r.Settings, 4)
	cfg, err := config.Load(config.Options{Role: config.Serve})
	require.NoError(t, err)
	require.Equal(t, cfg.Fingerprint, r.Fingerprint, "that of the metric")
	_, stdout, _ = runLine(t, "config show -o csv --changed")
	require.Contains(t, stdout, "setting,value,origin,from,reloads\nAPP_PORT,4000,environment,APP_PORT,false\n")

	t.Setenv("APP_PORT", "many")
	code, stdout, stderr = runLine(t, "config show")
	require.Zero(t, code)
	require.Regexp(t, `(?m)^APP_PORT +many`, stdout)
	require.Contains(t, stderr, "warning: not all of them are valid; see: gateway config check --role serve")

	code, _, stderr = runLine(t, "config show --running")
	require.Equal(t, exitUsage, code, stderr)
}

// TestConfigShowNamesTheKeyBesideTheDatabase: it is used without being configured.
func TestConfigShowNamesTheKeyBesideTheDatabase(t *testing.T) {
	inFolderOfDev(t)
	t.Setenv("DATABASE_URL", "sqlite://data/gateway.db")
	_, stdout, stderr := runLine(t, "config show --role both")
	require.Regexp(t, `(?m)^SECRETS_KEY +\[redacted\] +file +data/secrets.key`, stdout, stderr)
}

func TestConfigShowOfARunningGateway(t *testing.T) {
	fakeGateway(t, map[string][]string{"GET /settings": {`{"data":{"process":"0190a1b2-0000-7000-8000-000000000001","version":"v1","fingerprint":"5d41402abc4b","providers":["initech"],
		"settings":[{"name":"APP_PORT","value":"4000","origin":"file","from":"app_port in x.yaml","secret":false,"reloads":false},{"name":"LOG_LEVEL","value":"info","origin":"default","from":"","secret":false,"reloads":true}]}}`}})
	shown := runOK(t, "config show --running --changed")
	require.Regexp(t, `(?m)^APP_PORT +4000 +file +app_port in x.yaml`, shown)
	require.NotContains(t, shown, "LOG_LEVEL")
	require.Contains(t, shown, "providers of your own: initech")
	require.Contains(t, shown, "fingerprint 5d41402abc4b")
	code, _, stderr := runLine(t, "config show --running --role work")
	require.Equal(t, exitUsage, code, stderr)
}
