package egress

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConnectionsAreReused(t *testing.T) {
	var opened atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, io.LimitReader(r.Body, 20<<10))
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	c := localClient(t, Config{})
	for range 10 {
		_, err := post(t, c, s.URL, strings.Repeat("x", 17<<10)) // a little more than is kept
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, opened.Load())
	var wg sync.WaitGroup
	for range 3 {
		for range 32 {
			wg.Go(func() { _, _ = post(t, c, s.URL, "x") })
		}
		wg.Wait()
	}
	require.LessOrEqual(t, opened.Load(), int32(33), "each wave reuses the connections of the previous one")
}

// A server that closed an idle connection in the moment of its reuse made a healthy
// endpoint look like a failed attempt.
func TestAClosedIdleConnectionIsNotAFailure(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	var accepted atomic.Int32
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			go answerOnceThenCloseOnUse(conn)
		}
	}()
	c := localClient(t, Config{})
	for range 3 {
		res, err := post(t, c, "http://"+listener.Addr().String(), "body")
		require.NoError(t, err)
		require.Equal(t, http.StatusNoContent, res.Status)
	}
	require.EqualValues(t, 3, accepted.Load())
}

func answerOnceThenCloseOnUse(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	buffer := make([]byte, 4096)
	var seen []byte
	for !bytes.Contains(seen, []byte("body")) {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		seen = append(seen, buffer[:n]...)
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
		return
	}
	_, _ = conn.Read(buffer) // the next request arrives and is not answered
}
