package httpapi_test

import (
	"crypto/tls"
	"errors"
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
	"integration-gateway/platform/testkit"
)

// brief is a timeout of the server for slow callers. The tests wait for the server to apply
// it, however long that takes.
const brief = 100 * time.Millisecond

// overTLS returns a server's TLS configuration, and that of a client that trusts it.
func overTLS(t *testing.T) (server, client *tls.Config) {
	a := testkit.NewAuthority(t)
	pair := a.Issue(time.Hour, time.Minute).Pair(t)
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}},
		&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: a.Pool(), ServerName: "localhost"}
}

// waitForClose waits until the server closes the connection, and returns what it sent
// before.
func waitForClose(t *testing.T, conn net.Conn) string {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(clock.System().Add(waitTimeout)))
	said, err := io.ReadAll(conn)
	var timeout net.Error
	require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "the server is still waiting")
	return string(said)
}

func TestSlowloris(t *testing.T) {
	server, client := overTLS(t)
	const head = "GET /api/v1/open HTTP/1.1\r\nHost: x\r\n"
	for _, c := range []struct {
		name, sends string
		tls         *tls.Config // of the server
		shakesHands bool
	}{
		{"that says nothing", "", nil, false},
		{"that stops within the request line", "GET /api/v1/op", nil, false},
		{"that stops within a header", head + "X-Slow: a", nil, false},
		{"that stops before the last line", head + "X-Slow: a\r\n", nil, false},
		{"that never greets", "", server, false},
		{"that stops within its greeting", "\x16\x03\x01\x02\x00\x01", server, false},
		{"that greets and says nothing", "", server, true},
		{"that greets and stops within a header", head + "X-Slow: a", server, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := setup(t, httpapi.Config{ReadTimeout: brief, TLS: c.tls}, nil)
			conn, err := net.Dial("tcp", h.start(t))
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			if c.shakesHands {
				conn = tls.Client(conn, client)
			}
			_, err = io.WriteString(conn, c.sends)
			require.NoError(t, err)
			require.NotContains(t, waitForClose(t, conn), "200 OK")
		})
	}
}

func TestAnIdleConnectionIsClosed(t *testing.T) {
	h := setup(t, httpapi.Config{IdleTimeout: brief}, nil)
	conn, err := net.Dial("tcp", h.start(t))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET /api/v1/open HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	require.Contains(t, waitForClose(t, conn), "200 OK")
}

func TestAClientThatDoesNotReadIsDisconnected(t *testing.T) {
	server, client := overTLS(t)
	for name, own := range map[string]*tls.Config{"plain": nil, "over TLS": server} {
		t.Run(name, func(t *testing.T) {
			given, timeout := make(chan error, 1), brief
			if own != nil {
				timeout = 2 * time.Second // enough for the handshake
			}
			h := setup(t, httpapi.Config{WriteTimeout: timeout, TLS: own}, map[string]echo.HandlerFunc{"/much": func(c echo.Context) error {
				piece := []byte(strings.Repeat("x", 1<<20))
				for {
					if _, err := c.Response().Write(piece); err != nil {
						given <- err
						return err
					}
				}
			}})
			conn, err := net.Dial("tcp", h.start(t))
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			if own != nil {
				conn = tls.Client(conn, client)
			}
			_, err = io.WriteString(conn, "POST /api/v1/much HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
			require.NoError(t, err)
			select {
			case err := <-given:
				require.Error(t, err)
			case <-time.After(waitTimeout):
				require.Fail(t, "the response is still being written")
			}
		})
	}
}

func TestHeaderBombs(t *testing.T) {
	server, client := overTLS(t)
	addr := setup(t, httpapi.Config{TLS: server}, nil).start(t)
	for name, c := range map[string]struct {
		header string
		status int
	}{
		"within the limit": {"X-Filler: " + strings.Repeat("x", 32<<10) + "\r\n", http.StatusOK},
		"a long one":       {"X-Filler: " + strings.Repeat("x", 80<<10) + "\r\n", http.StatusRequestHeaderFieldsTooLarge},
		"many":             {strings.Repeat("X-Filler: x\r\n", 8<<10), http.StatusRequestHeaderFieldsTooLarge},
		"an endless one":   {"X-Filler: " + strings.Repeat("x", 100<<10), http.StatusRequestHeaderFieldsTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", addr, client)
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			// The server answers before it has read everything, so writing may fail.
			_, _ = io.WriteString(conn, "GET /api/v1/open HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+c.header+"\r\n")
			require.Contains(t, waitForClose(t, conn), http.StatusText(c.status))
		})
	}
}

func TestHTTPOverTLS(t *testing.T) {
	server, client := overTLS(t)
	addr := setup(t, httpapi.Config{TLS: server}, nil).start(t)
	httpClient := &http.Client{Transport: &http.Transport{TLSClientConfig: client, ForceAttemptHTTP2: true}, Timeout: waitTimeout}
	defer httpClient.CloseIdleConnections()
	res, err := httpClient.Get("https://" + addr + "/api/v1/open")
	require.NoError(t, err)
	a := read(t, res)
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, 1, res.ProtoMajor)
	require.Equal(t, "max-age=31536000", a.header.Get("Strict-Transport-Security"))

	status, text := raw(t, addr, "GET /api/v1/integrations HTTP/1.1\r\nHost: x\r\nX-Internal-Api-Key: "+key+"\r\n\r\n")
	require.Equal(t, http.StatusBadRequest, status, "plain HTTP gets only this response")
	require.Contains(t, text, "HTTPS")
	require.Empty(t, setup(t, httpapi.Config{}, nil).do(t, get("/api/v1/open")).header.Get("Strict-Transport-Security"))
}
