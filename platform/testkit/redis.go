package testkit

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// RedisServer is a private Redis process.
type RedisServer struct {
	Address string
	process *exec.Cmd
}

// Kill ends the process without a chance to say so.
func (s RedisServer) Kill(t testing.TB) {
	t.Helper()
	require.NoError(t, s.process.Process.Kill())
}

// StartRedis starts a Redis without persistence that ends with the test; args are settings
// such as "--replicaof", "127.0.0.1 6379".
func StartRedis(t testing.TB, args ...string) RedisServer {
	t.Helper()
	binary := Program(t, "redis-server", "redis-server")
	address := busAddress(t)
	_, port, _ := net.SplitHostPort(address)
	args = append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir()}, args...)
	return RedisServer{address, Run(t, []string{address}, binary, args...)}
}

// busAddress is a free address whose port leaves room for a cluster's bus, 10000 above.
func busAddress(t testing.TB) string {
	t.Helper()
	for port := 21000 + os.Getpid()%10000; port < 45000; port++ {
		free := true
		for _, p := range []int{port, port + 10000} {
			listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p))) //nolint:noctx // closed at once
			free = free && err == nil
			if err == nil {
				_ = listener.Close()
			}
		}
		if free {
			return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		}
	}
	require.FailNow(t, "no free port")
	return ""
}

// RedisCluster starts three masters of one cluster and returns their addresses.
func RedisCluster(t testing.TB) []string {
	t.Helper()
	create := []string{"--cluster", "create"}
	var addresses []string
	for range 3 {
		addresses = append(addresses, StartRedis(t, "--cluster-enabled", "yes").Address)
	}
	cli := Program(t, "redis-cli", "redis-tools")
	out, err := exec.Command(cli, append(append(create, addresses...), "--cluster-yes")...).CombinedOutput() //nolint:gosec,noctx // a test's own
	require.NoError(t, err, "%s", out)
	for _, address := range addresses { // each has to hear of it
		_, port, _ := net.SplitHostPort(address)
		require.Eventually(t, func() bool {
			out, err = exec.Command(cli, "-p", port, "cluster", "info").CombinedOutput() //nolint:gosec,noctx // a test's own
			return err == nil && strings.Contains(string(out), "cluster_state:ok")
		}, startTimeout, 20*time.Millisecond)
	}
	return addresses
}

// RedisSentinels starts three Sentinels that watch a master by the name "gateway", and agree
// on a failover after it has been away for half a second. It returns their addresses.
func RedisSentinels(t testing.TB, master RedisServer) []string {
	t.Helper()
	_, port, _ := net.SplitHostPort(master.Address)
	var addresses []string
	for range 3 {
		address := busAddress(t)
		_, own, _ := net.SplitHostPort(address)
		dir := t.TempDir()
		config := filepath.Join(dir, "sentinel.conf") // it is rewritten
		require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `port %s
bind 127.0.0.1
dir %s
sentinel monitor gateway 127.0.0.1 %s 2
sentinel down-after-milliseconds gateway 500
sentinel failover-timeout gateway 5000
`, own, dir, port), 0o600))
		Run(t, []string{address}, Program(t, "redis-server", "redis-server"), config, "--sentinel")
		addresses = append(addresses, address)
	}
	return addresses
}
