package cache_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/cache"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// refusingRedis answers every command, but accepts no writes.
func refusingRedis(t *testing.T, refusal string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // until the test ends
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answer(conn, refusal)
		}
	}()
	return listener.Addr().String()
}

func answer(conn net.Conn, refusal string) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		words, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
		var command string
		for i := range words {
			size, err := in.ReadString('\n')
			if err != nil {
				return
			}
			n, _ := strconv.Atoi(strings.TrimSpace(size[1:]))
			word := make([]byte, n+2)
			if _, err := io.ReadFull(in, word); err != nil {
				return
			}
			if i == 0 {
				command = strings.ToUpper(string(word[:n]))
			}
		}
		reply := "+OK"
		switch command {
		case "HELLO":
			reply = "-ERR unknown command"
		case "SET":
			reply = "-" + refusal
		case "EVALSHA", "EVAL":
			reply = ":0" // releasing needs no memory
		}
		if _, err := fmt.Fprintf(conn, "%s\r\n", reply); err != nil {
			return
		}
	}
}

// A server that answered but accepted no writes used to count as healthy, and its outage
// ended with every released lock.
func TestRedisWithoutWritesIsAnOutage(t *testing.T) {
	for _, refusal := range []string{"OOM command not allowed when used memory > 'maxmemory'.", "READONLY You can't write against a read only replica."} {
		t.Run(strings.Fields(refusal)[0], func(t *testing.T) {
			said := &testkit.Log{}
			r, err := cache.NewRedis(cache.RedisConfig{URL: secret.New("redis://" + refusingRedis(t, refusal) + "/0")}, "t", slog.New(slog.NewTextHandler(said, nil)))
			require.NoError(t, err)
			t.Cleanup(func() { _ = r.Close() })
			require.ErrorContains(t, r.Ping(t.Context()), refusal)
			_, err = r.Claim(t.Context(), []cache.Claim{{Key: "a", Value: "1", TTL: time.Minute}})
			require.ErrorIs(t, err, cache.ErrDown)
			release := func() bool { return r.Release(t.Context(), []cache.Claim{{Key: "a", Value: "1"}}) == nil }
			require.Eventually(t, release, time.Minute, 10*time.Millisecond, "a call is tried once a second")
			require.ErrorIs(t, r.Ping(t.Context()), cache.ErrDown)
			require.NotContains(t, said.String(), "responding again")
			require.Equal(t, 1, strings.Count(said.String(), "not responding"))
		})
	}
}
