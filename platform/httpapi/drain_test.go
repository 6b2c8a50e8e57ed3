package httpapi_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
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

// A sender writes its whole body before it reads the response, like most do. The body is
// far larger than the kernel's buffers and what net/http reads by itself.
func TestARefusalReachesClientsThatWriteFirst(t *testing.T) {
	h := setup(t, httpapi.Config{}, map[string]echo.HandlerFunc{"/body": echoBody(1000)})
	addr := h.start(t)
	body := strings.Repeat("x", 6<<20)
	for _, c := range []struct {
		name, path, header string
		status             int
	}{
		{"a body beyond the limit", "/api/v1/body", "Content-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body, 413},
		{"one in chunks", "/api/v1/body", "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body), 413},
		{"no such route", "/api/v1/nothing", "Content-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body, 404},
		{"no key", "/api/v1/events/1/replay", "Content-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", addr)
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			require.NoError(t, conn.SetDeadline(clock.System().Add(6*waitTimeout)))
			answers := bufio.NewReader(conn)
			for _, request := range []string{c.header, c.header} { // the connection stays usable
				_, err = io.WriteString(conn, "POST "+c.path+" HTTP/1.1\r\nHost: x\r\n"+request)
				require.NoError(t, err)
				res, err := http.ReadResponse(answers, nil)
				require.NoError(t, err)
				require.Equal(t, c.status, read(t, res).status)
			}
		})
	}
}

func TestARefusalDoesNotWaitForTheBody(t *testing.T) {
	h := setup(t, httpapi.Config{}, map[string]echo.HandlerFunc{"/body": echoBody(1000)})
	addr := h.start(t)
	for _, extra := range []string{"", "Expect: 100-continue\r\n"} {
		began := clock.System()
		status, _ := raw(t, addr, "POST /api/v1/body HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n"+extra+"\r\n")
		require.Equal(t, http.StatusRequestEntityTooLarge, status)
		require.Less(t, clock.System().Sub(began), waitTimeout, "it does not wait for a body that never arrives")
	}
}

func TestEndlessBodiesAreAborted(t *testing.T) {
	h := setup(t, httpapi.Config{ReadTimeout: 300 * time.Millisecond}, map[string]echo.HandlerFunc{"/body": echoBody(1000)})
	conn, err := net.Dial("tcp", h.start(t))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(clock.System().Add(waitTimeout)))
	_, err = io.WriteString(conn, "POST /api/v1/body HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n")
	require.NoError(t, err)
	chunk := bytes.Repeat([]byte("x"), 64<<10)
	for err == nil {
		_, err = conn.Write(chunk)
	}
	var timeout net.Error
	require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "the gateway closed the connection: %v", err)
}

func TestResponsesEndTheirConnectionsWhileDraining(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	h := setup(t, httpapi.Config{}, map[string]echo.HandlerFunc{
		"/body": echoBody(1000),
		"/slow": func(c echo.Context) error {
			close(began)
			<-release
			return c.NoContent(http.StatusNoContent)
		},
	})
	addr := h.start(t)
	ask := func(path string) (ended bool) {
		res, err := http.Post("http://"+addr+"/api/v1"+path, "application/json", strings.NewReader("{}")) //nolint:noctx // of this test
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, 2, res.StatusCode/100)
		return res.Close
	}
	require.False(t, ask("/body"))
	slow := make(chan bool)
	go func() { slow <- ask("/slow") }()
	<-began
	h.Drain()
	require.True(t, ask("/body"), "requests are still answered")
	close(release)
	require.True(t, <-slow, "and one that began before ends its connection, too")
}
