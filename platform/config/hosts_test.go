package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOneHost(t *testing.T) {
	for list, want := range map[string]string{
		"postgres://u:p,q@a:1,b:2/d?x=y":  "postgres://u:p,q@b:2/d?x=y",
		"postgres://a:1,b:2,c:3":          "postgres://c:3",
		"postgres://u@a/d":                "postgres://u@a/d",
		"postgres:///d?host=/run,/other":  "postgres:///d?host=/run,/other",
		"postgres://u@[::1]:1,[::2]:2/db": "postgres://u@[::2]:2/db",
	} {
		require.Equal(t, want, oneHost(list))
	}
}
