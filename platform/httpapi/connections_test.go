package httpapi_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
)

// dialFrom opens a connection from an address of the loopback's networks.
func dialFrom(t *testing.T, local, addr string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
	conn, err := d.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(clock.System().Add(waitTimeout)))
	return conn
}

// isAnswered sends a request and reports whether it is answered; the connection stays open.
func isAnswered(t *testing.T, conn net.Conn) bool {
	t.Helper()
	if _, err := io.WriteString(conn, "GET /api/v1/open HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return false
	}
	answer := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return false
	}
	require.Equal(t, "HTTP/1.1 200", string(answer))
	rest := make([]byte, 64<<10)
	n, err := conn.Read(rest)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(string(rest[:n]), "}\n") || strings.HasSuffix(string(rest[:n]), "}"), string(rest[:n]))
	return true
}

func closed(t *testing.T, conn net.Conn) bool {
	t.Helper()
	_, err := conn.Read(make([]byte, 1))
	require.Error(t, err)
	timeout, ok := err.(net.Error) //nolint:errorlint // as the connection returns it
	return !ok || !timeout.Timeout()
}

func TestOneNetworkCannotUseAllConnections(t *testing.T) {
	addr := setup(t, httpapi.Config{MaxConnections: 16, NetworkShare: 50}, nil).start(t)
	var conns []net.Conn
	for range 8 {
		conn := dialFrom(t, "127.0.1.1", addr)
		require.True(t, isAnswered(t, conn))
		conns = append(conns, conn)
	}
	require.True(t, closed(t, dialFrom(t, "127.0.1.2", addr)), "above its share, from any of its addresses")
	for range 8 {
		require.True(t, isAnswered(t, dialFrom(t, "127.0.2.1", addr)), "another network is admitted")
	}
	isAdmitted(t, "127.0.3.1", addr, "at the limit an idle connection is evicted")
	stay := 0
	for _, conn := range conns {
		if isAnswered(t, conn) {
			stay++
		}
	}
	require.Equal(t, 7, stay, "one, of the network that had the most first")
}

// isAdmitted waits until a new connection is answered. A connection is idle only when the server
// has noted it, shortly after its answer arrived.
func isAdmitted(t *testing.T, local, addr, why string) {
	t.Helper()
	require.Eventually(t, func() bool { return isAnswered(t, dialFrom(t, local, addr)) }, waitTimeout, 10*time.Millisecond, why)
}

func TestAClosedTLSConnectionIsRemoved(t *testing.T) {
	server, client := overTLS(t)
	addr := setup(t, httpapi.Config{MaxConnections: 2, TLS: server}, nil).start(t)
	for range 10 { // each replaces a closed or an idle one
		require.Eventually(t, func() bool {
			conn := tls.Client(dialFrom(t, "127.0.0.1", addr), client)
			return isAnswered(t, conn) && conn.Close() == nil
		}, waitTimeout, 10*time.Millisecond)
	}
}

func TestAnActiveConnectionIsNotEvicted(t *testing.T) {
	holding, leave := make(chan struct{}), make(chan struct{})
	h := setup(t, httpapi.Config{MaxConnections: 2}, map[string]echo.HandlerFunc{"/hold": holdBody(holding, leave)})
	addr := h.start(t)
	var busy []net.Conn
	for range 2 {
		conn := dialFrom(t, "127.0.1.1", addr)
		_, err := io.WriteString(conn, "POST /api/v1/hold HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
		require.NoError(t, err)
		<-holding
		busy = append(busy, conn)
	}
	require.True(t, closed(t, dialFrom(t, "127.0.2.1", addr)))
	close(leave)
	for _, conn := range busy {
		said, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Contains(t, string(said), "HTTP/1.1 200")
	}
	isAdmitted(t, "127.0.2.1", addr, "closed connections are removed")
}

// The deadline of a body moves with the received bytes, and leaves the handler its time.
func TestABodyNeedsAMinimumRate(t *testing.T) {
	h := setup(t, httpapi.Config{MinBodyRate: 64 << 10, BodyGrace: brief, ReadTimeout: waitTimeout, WriteTimeout: waitTimeout}, map[string]echo.HandlerFunc{
		"/body": echoBody(1 << 20),
		"/long": func(c echo.Context) error {
			if _, err := httpapi.ReadBody(c, 1000); err != nil {
				return err
			}
			select {
			case <-c.Request().Context().Done():
				return c.Request().Context().Err()
			case <-time.After(3 * brief):
				return httpapi.Data(c, http.StatusOK, nil)
			}
		},
	})
	addr := h.start(t)
	const head = "POST /api/v1/body HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n"
	status, text := raw(t, addr, head+"xxx")
	require.Equal(t, http.StatusBadRequest, status, text)
	require.Contains(t, text, "did not arrive in time")

	status, text = raw(t, addr, strings.Replace(head, "1000000", "100000", 1)+strings.Repeat("x", 100_000))
	require.Equal(t, http.StatusOK, status, text)
	status, text = raw(t, addr, "POST /api/v1/long HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
	require.Equal(t, http.StatusOK, status, text)
}
