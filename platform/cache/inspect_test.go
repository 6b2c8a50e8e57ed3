package cache_test

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

func TestInspectingRedis(t *testing.T) {
	open := func(url string) *cache.Redis {
		c, err := cache.NewRedis(cache.RedisConfig{URL: secret.New(url)}, "test-inspect", slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	i, err := open(testkit.Server(t, testkit.RedisVariable)).Inspect(t.Context())
	require.NoError(t, err)
	require.Regexp(t, `^\d+\.\d+`, i.Version)
	require.GreaterOrEqual(t, i.Major, 7)
	require.NotEmpty(t, i.Eviction)
	_, err = open("redis://:hunter2@127.0.0.1:1/0").Inspect(t.Context())
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}
