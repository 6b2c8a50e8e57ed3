package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// secrets are the settings whose text no message may repeat.
var secrets = map[string]bool{"MANAGEMENT_API_KEY": true, "SECRETS_KEY": true, "DATABASE_URL": true, "REDIS_URL": true, "RABBITMQ_URL": true}

// FuzzSetting: a setting takes its text or says what is wrong and what to do, and a secret
// is not repeated in it.
func FuzzSetting(f *testing.F) {
	all := settings(new(Config))
	for i, s := range all {
		f.Add(uint8(i), s.fallback)
	}
	for _, text := range []string{"", "-1", "99999999999999999999", "90d", "d", "0h", "10.0.0.0/8,::1", "postgres://u:pass word@[::1", "sqlite://", "amqp://", "host:port", "[::1]:99999", "*.example.com", "\x00", "https://u:p@h/?a#b"} {
		for i := range all {
			f.Add(uint8(i), text)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		s := all[int(which)%len(all)]
		if text == "" && !s.blank {
			return // as if it were not set
		}
		err := s.read.set(text)
		if err == nil {
			return
		}
		var p problem
		require.ErrorAs(t, err, &p, "%s", s.name)
		require.NotEmpty(t, p.what)
		require.NotEmpty(t, p.fix)
		if secrets[s.name] && len(text) > 12 {
			require.NotContains(t, p.Error(), text, "%s", s.name)
		}
	})
}

// FuzzFile: whatever the file holds, it is read or everything that is wrong is named.
func FuzzFile(f *testing.F) {
	listed, err := os.ReadFile(filepath.Join("..", "..", "configs", "gateway.yaml"))
	require.NoError(f, err)
	f.Add(string(listed))
	for _, text := range []string{
		"", "a", "app_port: 3000\n", "app_port: [1, 2]\n", "app_port: {a: 1}\n", "trusted_proxies: [10.0.0.0/8, x]\n", "nothing: 1\n", "app_port: !!binary x\n", "&a [*a]\n",
		"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n", "providers:\n  mine:\n    scheme: token\n    signature: {header: X}\n    event: {type: $.a}\n", "providers: 1\n", "providers: {a: [1]}\n",
		"providers:\n  1: {2: 3}\n", "app_port: 3000\napp_port: 3001\n", "\xef\xbb\xbfapp_port: 1\n", "app_port: .nan\n", "log_level: ~\n", "? [a]\n: b\n", "%YAML 9\n---\n",
	} {
		f.Add(text)
	}
	path := filepath.Join(f.TempDir(), "gateway.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := Load(Options{Role: Dev, Path: path})
		if err == nil {
			return
		}
		var m Mistakes
		require.True(t, errors.As(err, &m), "%v", err)
		for _, one := range m {
			require.NotEmpty(t, one.Problem)
			require.NotEmpty(t, one.Fix)
			require.False(t, strings.Contains(one.Problem, "runtime error"), one.Problem)
		}
	})
}
