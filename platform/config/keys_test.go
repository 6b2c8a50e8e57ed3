package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/secret"
)

func TestKeysForSecrets(t *testing.T) {
	first, second, third := strings.Repeat("1", 32), strings.Repeat("2", 32), strings.Repeat("3", 32)
	reveal := func(c Config) (all []string) {
		for _, key := range append([]secret.Value{c.SecretsKey}, c.SecretsReadKeys...) {
			all = append(all, key.Reveal())
		}
		return all
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		file string
		want []string
		says string
	}{
		{"one", map[string]string{"SECRETS_KEY": first}, "", []string{first}, ""},
		{"others beside it", map[string]string{"SECRETS_KEY": first, "SECRETS_READ_KEYS": second + ", " + third}, "", []string{first, second, third}, ""},
		{"in a file", nil, first + "\n", []string{first}, ""},
		{"several in a file", nil, first + "\r\n" + second + "\n\n  " + third, []string{first, second, third}, ""},
		{"in a file, and others beside it", map[string]string{"SECRETS_READ_KEYS": third}, first + "\n" + second, []string{first, second, third}, ""},
		{"in both", map[string]string{"SECRETS_KEY": first}, second, nil, "SECRETS_KEY_FILE: SECRETS_KEY is set too"},
		{"a file of nothing", nil, " \n", nil, "holds no key"},
		{"one in a file is short", nil, first + "\nhunter2", nil, "it has 7 characters; use at least 32"},
		{"a large file", nil, strings.Repeat("x", maxKeysFile+1), nil, "it has more than 65536 bytes"},
		{"one of others is short", map[string]string{"SECRETS_KEY": first, "SECRETS_READ_KEYS": second + ",hunter2"}, "", nil, "SECRETS_READ_KEYS: it has 7 characters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.file != "" {
				path := file(t, c.file)
				setup(t, enough, c.env, map[string]string{"SECRETS_KEY_FILE": path})
			} else {
				setup(t, enough, c.env)
			}
			got, err := Load(Options{Role: Serve})
			if c.says != "" {
				require.ErrorContains(t, err, c.says)
				for _, hidden := range []string{"hunter2", first, second} {
					require.NotContains(t, err.Error(), hidden)
				}
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, reveal(got))
		})
	}
}
