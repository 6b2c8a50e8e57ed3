package cache_test

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// failoverTimeout is for three Sentinels and a replica on a busy machine.
const failoverTimeout = 2 * time.Minute

func TestAFailoverBySentinel(t *testing.T) {
	master := testkit.StartRedis(t)
	replica := testkit.StartRedis(t, "--replicaof", strings.Replace(master.Address, ":", " ", 1))
	sentinels := testkit.RedisSentinels(t, master)
	for _, address := range sentinels {
		s := redis.NewSentinelClient(&redis.Options{Addr: address})
		t.Cleanup(func() { _ = s.Close() })
		require.Eventually(t, func() bool { // it knows the replica and the other Sentinels
			replicas, err := s.Replicas(t.Context(), "gateway").Result()
			others, otherErr := s.Sentinels(t.Context(), "gateway").Result()
			return err == nil && otherErr == nil && len(others) == 2 && len(replicas) == 1 && replicas[0]["master-link-status"] == "ok"
		}, failoverTimeout, 50*time.Millisecond)
	}
	c := openRedis(t, "redis://"+strings.Join(sentinels, ",")+"/0?master_name=gateway")
	require.True(t, claim(t, c, cache.Claim{Key: "before", Value: "1", TTL: long})[0].Won)

	master.Kill(t)
	var claimed []cache.Claimed
	require.Eventually(t, func() bool { // a claim may have been lost with the master, and can then be won again
		var err error
		claimed, err = c.Claim(t.Context(), []cache.Claim{{Key: "after", Value: "2", TTL: long}, {Key: "before", Value: "3", TTL: long}})
		return err == nil
	}, failoverTimeout, 50*time.Millisecond)
	require.Len(t, claimed, 2)
	require.NoError(t, c.Ping(t.Context()))
	promoted := redis.NewClient(&redis.Options{Addr: replica.Address})
	t.Cleanup(func() { _ = promoted.Close() })
	role, err := promoted.Do(t.Context(), "ROLE").Slice()
	require.NoError(t, err)
	require.Equal(t, "master", role[0])
}

func TestAClusterSpreadsTheKeys(t *testing.T) {
	nodes := testkit.RedisCluster(t)
	c := openRedis(t, "redis://"+nodes[0]+"?cluster=true")
	const many = 60
	var claims []cache.Claim
	var counts []cache.Count
	var limits []cache.Limit
	for i := range many {
		key := "key " + strconv.Itoa(i)
		claims = append(claims, cache.Claim{Key: key, Value: "1", TTL: long})
		counts = append(counts, cache.Count{Key: "n" + key, Window: long})
		limits = append(limits, cache.Limit{Key: "l" + key, Max: 1, TTL: long})
	}
	for _, claimed := range claim(t, c, claims...) {
		require.True(t, claimed.Won)
	}
	require.NoError(t, c.Release(t.Context(), claims[:many/2]))
	for i, claimed := range claim(t, c, claims...) {
		require.Equal(t, i < many/2, claimed.Won)
	}
	counted, err := c.Count(t.Context(), counts)
	require.NoError(t, err)
	require.Len(t, counted, many)
	for _, want := range []int{1, 0} {
		got, err := c.Acquire(t.Context(), []cache.Acquisition{{Limits: limits, Holders: []string{strconv.Itoa(want)}}})
		require.NoError(t, err)
		require.Equal(t, want, got[0].N)
	}
	i, err := c.Inspect(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, i.Major, 7)
	for _, node := range nodes {
		own := redis.NewClient(&redis.Options{Addr: node})
		t.Cleanup(func() { _ = own.Close() })
		held, err := own.DBSize(t.Context()).Result()
		require.NoError(t, err)
		require.Positive(t, held, node)
	}
}

func TestAURLOfSeveralServers(t *testing.T) {
	for url, problem := range map[string]string{
		"redis://u:hunter2@a:1,b,[::1]:3":                                                   "",
		"rediss://u:hunter2@a,b/0?master_name=m&pool_size=3":                                "",
		"redis://u:hunter2@a/2?master_name=m&sentinel_username=s&sentinel_password=hunter2": "",
		"redis://u:hunter2@a,b/1":                                                           "a cluster has only database 0",
		"redis://u:hunter2@a/1?cluster=true":                                                "a cluster has only database 0",
		"redis://u:hunter2@a,,b":                                                            "empty host between commas",
		"redis://u:hunter2@a,b?master_name=":                                                "master_name is empty",
		"redis://u:hunter2@a,b?mastername=m":                                                "mastername",
		"redis://u:hunter2@a?cluster=yes":                                                   `cluster is "yes"`,
		"redis://u:hunter2@a,b?cluster=false":                                               "cluster=false fits neither",
		"redis://u:hunter2@a?cluster=true&master_name=m":                                    "leave one out",
		"redis://u:hunter2@a,b?sentinel_password=hunter2":                                   "no effect without master_name",
		"redis://u:hunter2@a,b:port":                                                        "not well-formed",
		"redis://u:hunter2@a,b/first?master_name=m":                                         "database number",
		"redis://u:hunter2@a,b?addr=c%3A1&sentinel=hunter3":                                 "unexpected option",
	} {
		c, err := cache.NewRedis(cache.RedisConfig{URL: secret.New(url)}, "test", slog.New(slog.DiscardHandler))
		if problem == "" {
			require.NoError(t, err, url)
			require.NoError(t, c.Close())
			continue
		}
		require.ErrorContains(t, err, problem, url)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
