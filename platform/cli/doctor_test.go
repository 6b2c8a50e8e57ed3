package cli

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/app/doctor"
)

// inFolderOfDev makes the records of a gateway dev in ./data, with a key.
func inFolderOfDev(t *testing.T) {
	t.Helper()
	setup(t, "LOG_LEVEL", "error")
	require.NoError(t, os.Mkdir("data", 0o700))
	require.NoError(t, os.WriteFile(filepath.Join("data", "secrets.key"), []byte(strings.Repeat("k3y-", 12)+"\n"), 0o600))
	t.Setenv("DATABASE_URL", "sqlite://data/gateway.db")
	runOK(t, "migrate up")
	runOK(t, "seed")
	require.NoError(t, os.Unsetenv("DATABASE_URL"))
}

// diagnosis returns the findings of a check that are not ok.
func diagnosis(t *testing.T, text, check string) (bad []doctor.Finding, seen bool) {
	t.Helper()
	var all []doctor.Finding
	require.NoError(t, json.Unmarshal([]byte(text), &all), text)
	for _, f := range all {
		if f.Check != check {
			continue
		}
		seen = true
		if f.Status != doctor.OK {
			bad = append(bad, f)
		}
	}
	return bad, seen
}

func TestDoctorFindsTheRecordsOfDev(t *testing.T) {
	inFolderOfDev(t)
	code, stdout, stderr := runLine(t, "doctor")
	require.Zero(t, code, stdout+stderr)
	for _, line := range []string{`ok +settings +the settings are valid for dev`, `ok +database +SQLite 3`, `ok +database +it takes writes`, `ok +broker +none`, `ok +disk +`, `ok +schema +version`,
		`ok +clock`, `ok +keys +the key is there; [1-9]\d* stored secrets were opened`, `ok +egress +deliveries may go to public addresses and 127\.0\.0\.0/8`, `ok +processes +no process runs`} {
		require.Regexp(t, `(?m)^`+line, stdout)
	}
	t.Setenv("DATABASE_URL", "sqlite://data/gateway.db")
	code, named, stderr := runLine(t, "doctor")
	require.Zero(t, code, named+stderr)
	require.Regexp(t, `(?m)^ok +keys +the key is there; [1-9]`, named)
}

func TestDoctorSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		sentence, check string
		breaks          func(t *testing.T)
		line            string
		code            int
		says, fix       string
	}{
		{"no records", "database", func(t *testing.T) { require.NoError(t, os.Remove("data/gateway.db")) }, "doctor", exitFailed, "no records of gateway dev here", "DATABASE_URL"},
		{"what needs them is not checked", "keys", func(t *testing.T) { require.NoError(t, os.Remove("data/gateway.db")) }, "doctor", exitFailed, "it needs the database", "see the database"},
		{"another folder", "database", func(*testing.T) {}, "doctor --data elsewhere", exitFailed, "no records of gateway dev here", "--data"},
		{"a mistyped path", "database", func(t *testing.T) { t.Setenv("DATABASE_URL", "sqlite://data/gatewya.db") }, "doctor", exitFailed, "There is no database", "correct DATABASE_URL"},
		{"no tables", "schema", func(t *testing.T) {
			require.NoError(t, os.Remove("data/gateway.db"))
			require.NoError(t, os.WriteFile("data/gateway.db", nil, 0o600))
		}, "doctor", exitFailed, "the database has no tables yet", "gateway migrate up"},
		{"another key", "keys", func(t *testing.T) {
			require.NoError(t, os.WriteFile("data/secrets.key", []byte(strings.Repeat("0ther-", 12)), 0o600))
		}, "doctor", exitFailed, "Secrets in use cannot be opened", "SECRETS_READ_KEYS"},
		{"a destination that is not allowed", "egress", func(t *testing.T) { t.Setenv("EGRESS_ALLOW", "10.0.0.0/8") }, "doctor", exitFailed, "is refused", "EGRESS_ALLOW"},
		{"a proxy that is away", "egress", func(t *testing.T) { t.Setenv("EGRESS_PROXY", "http://u:hunter2@"+closed(t)) }, "doctor", exitUnavailable, "the egress proxy is unreachable", "EGRESS_PROXY"},
		{"a file for everybody", "database", func(t *testing.T) { require.NoError(t, os.Chmod("data/gateway.db", 0o644)) }, "doctor", 0, "others on this machine may read", "chmod 600"},
		{"a wrong setting", "settings", func(t *testing.T) { t.Setenv("APP_PORT", "many") }, "doctor", exitFailed, "APP_PORT: \"many\"", "from 0 to 65535"},
		{"a demo key for everybody", "exposure", func(t *testing.T) { t.Setenv("APP_HOST", "0.0.0.0") }, "doctor", exitFailed, "the management API is answered where webhooks are", "MANAGEMENT_ADDR"},
		{"a certificate that cannot be read", "certificates", func(t *testing.T) { t.Setenv("TLS_CERT_FILE", "x.pem"); t.Setenv("TLS_KEY_FILE", "x.key") }, "doctor", exitFailed, "cannot be read", "config check"},
		{"a server that does not answer", "database", func(t *testing.T) { t.Setenv("DATABASE_URL", "postgres://u:hunter2@"+closed(t)+"/d") }, "doctor --timeout 2s", exitUnavailable, "did not answer", "check DATABASE_URL"},
		{"a broker that does not answer", "broker", func(t *testing.T) { t.Setenv("RABBITMQ_URL", "amqp://u:hunter2@"+closed(t)+"/") }, "doctor --role both --timeout 2s", exitUnavailable, "refused", "check RABBITMQ_URL"},
		{"a cache that does not answer", "cache", func(t *testing.T) { t.Setenv("REDIS_URL", "redis://:hunter2@"+closed(t)) }, "doctor --role both --timeout 2s", exitUnavailable, "refused", "check REDIS_URL"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			inFolderOfDev(t)
			c.breaks(t)
			code, stdout, stderr := runLine(t, c.line+" -o json")
			bad, seen := diagnosis(t, stdout, c.check)
			require.True(t, seen)
			require.NotEmpty(t, bad, stdout)
			require.Contains(t, bad[0].Text, c.says)
			require.Contains(t, bad[0].Fix, c.fix)
			require.Equal(t, c.code, code, stdout+stderr)
			require.NotContains(t, stdout+stderr, "hunter2")
		})
	}
}

// closed returns an address where nothing listens.
func closed(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func TestDoctorIsForARole(t *testing.T) {
	inFolderOfDev(t)
	code, _, stderr := runLine(t, "doctor --role srve")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "--role must be one of")
	code, _, stderr = runLine(t, "doctor --timeout 1ms")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "--timeout must be at least 1s")
}
