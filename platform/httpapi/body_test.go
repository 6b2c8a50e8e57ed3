package httpapi_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
)

// echoBody answers with the length of the body, read up to limit.
func echoBody(limit int64) echo.HandlerFunc {
	return func(c echo.Context) error {
		body, err := httpapi.ReadBody(c, limit)
		if err != nil {
			return err
		}
		return httpapi.Data(c, http.StatusOK, []any{len(body), strings.Trim(string(body), "x") == ""})
	}
}

func TestReadBodyLimit(t *testing.T) {
	for _, limit := range []int{0, 1, 100, 16 << 10, 100_000, 1 << 20} {
		h := setup(t, httpapi.Config{}, map[string]echo.HandlerFunc{"/body": echoBody(int64(limit))})
		for _, size := range []int{0, 1, limit - 1, limit, limit + 1, 2*limit + 1} {
			if size < 0 {
				continue
			}
			for _, announced := range []bool{true, false} {
				t.Run(fmt.Sprintf("%d of %d bytes, announced: %v", size, limit, announced), func(t *testing.T) {
					r := httptest.NewRequest(http.MethodPost, "/api/v1/body", bytes.NewReader(bytes.Repeat([]byte("x"), size)))
					if !announced {
						r.ContentLength = -1
					}
					a := h.do(t, r)
					if size > limit {
						require.Equal(t, http.StatusRequestEntityTooLarge, a.status)
						require.Equal(t, "PAYLOAD_TOO_LARGE", a.body.Error.Code)
						require.Contains(t, a.body.Error.Message, fmt.Sprint(limit))
						return
					}
					require.Equal(t, http.StatusOK, a.status)
					require.JSONEq(t, fmt.Sprintf("[%d,true]", size), string(a.body.Data))
				})
			}
		}
	}
}

func TestReadBodyOverAConnection(t *testing.T) {
	h := setup(t, httpapi.Config{ReadTimeout: 300 * time.Millisecond}, map[string]echo.HandlerFunc{"/body": echoBody(1000)})
	addr := h.start(t)
	const head = "POST /api/v1/body HTTP/1.1\r\nHost: x\r\n"
	for _, c := range []struct {
		name, request string
		status        int
		says          string
	}{
		{"in chunks", head + "Transfer-Encoding: chunked\r\n\r\n3\r\nxxx\r\n2\r\nxx\r\n0\r\n\r\n", 200, "[5,true]"},
		{"in chunks beyond the limit", head + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + strings.Repeat("x", 1001) + "\r\n0\r\n\r\n", 413, "PAYLOAD_TOO_LARGE"},
		{"announced beyond the limit, and never sent", head + "Content-Length: 1001\r\n\r\n", 413, "PAYLOAD_TOO_LARGE"},
		{"an invalid chunk", head + "Transfer-Encoding: chunked\r\n\r\nzz\r\nxxx\r\n0\r\n\r\n", 400, "VALIDATION_ERROR"},
		{"a sender that stops", head + "Content-Length: 100\r\n\r\nxxx", 400, "did not arrive in time"},
		{"a sender that never starts", head + "Content-Length: 100\r\n\r\n", 400, "did not arrive in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, text := raw(t, addr, c.request)
			require.Equal(t, c.status, status, text)
			require.Contains(t, text, c.says)
		})
	}
	t.Run("a sender that disconnects in the middle", func(t *testing.T) {
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		require.NoError(t, conn.SetDeadline(clock.System().Add(waitTimeout)))
		_, err = io.WriteString(conn, head+"Content-Length: 100\r\n\r\nxxx")
		require.NoError(t, err)
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		text, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Contains(t, string(text), "HTTP/1.1 400")
		require.Contains(t, string(text), "could not be read completely")
	})
}

// holdBody reads a body, signals it, and answers once it is released.
func holdBody(holding, leave chan struct{}) echo.HandlerFunc {
	return func(c echo.Context) error {
		if _, err := httpapi.ReadBody(c, 1000); err != nil {
			return err
		}
		holding <- struct{}{}
		<-leave
		return httpapi.Data(c, http.StatusOK, nil)
	}
}

func TestBodyBytesInFlightAreLimited(t *testing.T) {
	holding, leave := make(chan struct{}), make(chan struct{})
	h := setup(t, httpapi.Config{BodyBytesInFlight: 100}, map[string]echo.HandlerFunc{
		"/hold": holdBody(holding, leave),
		"/body": echoBody(1000),
	})
	post := func(path string, size int) answer {
		return h.do(t, httptest.NewRequest(http.MethodPost, "/api/v1"+path, strings.NewReader(strings.Repeat("x", size))))
	}
	done := make(chan int)
	go func() { done <- post("/hold", 60).status }()
	<-holding
	require.Equal(t, http.StatusOK, post("/body", 40).status, "the limit")
	refused := post("/body", 41)
	require.Equal(t, http.StatusServiceUnavailable, refused.status, "one byte more")
	require.Equal(t, "DEPENDENCY_UNAVAILABLE", refused.body.Error.Code)
	require.Equal(t, "1", refused.header.Get("Retry-After"))
	close(leave)
	require.Equal(t, http.StatusOK, <-done)
	require.Equal(t, http.StatusOK, post("/body", 100).status, "all bytes were released")
	require.Equal(t, http.StatusServiceUnavailable, post("/body", 101).status)
	require.Equal(t, http.StatusOK, post("/body", 100).status, "also by refused requests")
}

func TestRequestsInFlightAreLimited(t *testing.T) {
	holding, leave := make(chan struct{}), make(chan struct{})
	h := setup(t, httpapi.Config{RequestsInFlight: 2}, map[string]echo.HandlerFunc{
		"/hold": holdBody(holding, leave),
		"/body": echoBody(1000),
	})
	post := func(path string, body io.Reader) answer {
		return h.do(t, httptest.NewRequest(http.MethodPost, "/api/v1"+path, body))
	}
	done, slow := make(chan int, 2), make(chan int, 1)
	go func() { done <- post("/hold", strings.NewReader("x")).status }()
	<-holding
	coming, end := io.Pipe()
	go func() { slow <- post("/body", coming).status }()
	_, err := end.Write([]byte("x"))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, post("/body", strings.NewReader("x")).status, "a request whose body is still arriving holds no slot")
	go func() { done <- post("/hold", strings.NewReader("x")).status }()
	<-holding
	refused := post("/body", strings.NewReader("x"))
	require.Equal(t, http.StatusServiceUnavailable, refused.status, "one more than the limit")
	require.Equal(t, "DEPENDENCY_UNAVAILABLE", refused.body.Error.Code)
	require.Equal(t, "1", refused.header.Get("Retry-After"))
	close(leave)
	require.Equal(t, http.StatusOK, <-done)
	require.Equal(t, http.StatusOK, <-done)
	require.NoError(t, end.Close())
	require.Equal(t, http.StatusOK, <-slow, "its slot was free by then")
	require.Equal(t, http.StatusOK, post("/body", strings.NewReader("x")).status, "every slot was released")
}

func TestDecodeJSON(t *testing.T) {
	type order struct {
		Reason string `json:"reason"`
		Nested struct {
			Count int `json:"count"`
		} `json:"nested"`
	}
	h := setup(t, httpapi.Config{}, nil)
	h.Routes().Public.POST("/json", func(c echo.Context) error {
		return httpapi.Data(c, http.StatusOK, httpapi.BodyOf[order](c).Reason)
	}, httpapi.Spec{Body: order{}, BodyLimit: 100})
	const kind = "application/json"
	for _, c := range []struct {
		name, contentType, body string
		status                  int
		says, details           string
	}{
		{"an object", kind, `{"reason":"why"}`, 200, "", ""},
		{"with a charset", "application/json; charset=UTF-8", `{"reason":"why"}`, 200, "", ""},
		{"a type in capitals", "Application/JSON", `{"reason":"why"}`, 200, "", ""},
		{"blanks around it", kind, " \n{\"reason\":\"why\"}\r\n ", 200, "", ""},
		{"no content type", "", `{"reason":"why"}`, 415, "must be application/json", "null"},
		{"a form", "application/x-www-form-urlencoded", `reason=why`, 415, "must be application/json", "null"},
		{"another charset", "application/json; charset=latin1", `{}`, 415, "must be application/json", "null"},
		{"an invalid content type", "application/json; charset", `{}`, 415, "must be application/json", "null"},
		{"nothing", kind, ``, 400, "empty", "null"},
		{"nothing, of no type", "", ``, 400, "empty", "null"},
		{"blanks", kind, `  `, 400, "empty", "null"},
		{"incomplete JSON", kind, `{"reason":"wh`, 400, "incomplete", "null"},
		{"no JSON", kind, `{"reason":why}`, 400, "at byte 11", "null"},
		{"a comma too many", kind, `{"reason":"why",}`, 400, "at byte 17", "null"},
		{"an array", kind, `[]`, 400, "must be a JSON object, not a JSON array", "null"},
		{"null", kind, `null`, 400, "must be a JSON object, not a JSON null", "null"},
		{"a string", kind, `"why"`, 400, "must be a JSON object, not a JSON string", "null"},
		{"a number for a text", kind, `{"reason":5}`, 400, "reason must be text", `[{"field":"reason","message":"must be text"}]`},
		{"a text for a nested number", kind, `{"nested":{"count":"5"}}`, 400, "nested.count", `[{"field":"nested.count","message":"must be a whole number"}]`},
		{"an unknown field", kind, `{"reason":"why","ticket":{"id":[7]}}`, 400, "ticket is not a field", `[{"field":"ticket","message":"is not a field of this request"}]`},
		{"a second value", kind, `{"reason":"why"}{}`, 400, "has data after", "null"},
		{"trailing garbage", kind, `{"reason":"why"}]`, 400, "has data after", "null"},
		{"bytes that are not UTF-8", kind, "{\"reason\":\"\xff\"}", 400, "not UTF-8", "null"},
		{"nested too deeply", kind, `{"reason":` + strings.Repeat("[", 89), 400, "", "null"},
		{"as large as allowed", kind, `{"reason":"why"}` + strings.Repeat(" ", 84), 200, "", ""},
		{"one byte larger", kind, `{"reason":"why"}` + strings.Repeat(" ", 85), 413, "100 bytes", "null"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/api/v1/json", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.contentType)
			a := h.do(t, r)
			require.Equal(t, c.status, a.status, a.text)
			require.Contains(t, a.body.Error.Message, c.says)
			require.Equal(t, c.details, string(a.body.Error.Details))
			if c.status == 200 {
				require.Equal(t, `"why"`, string(a.body.Data))
			}
		})
	}
}

func TestUnexpectedBodies(t *testing.T) {
	h := setup(t, httpapi.Config{}, nil)
	type order struct {
		Reason string `json:"reason"`
	}
	h.Routes().Public.POST("/json", func(c echo.Context) error {
		return httpapi.Data(c, http.StatusOK, httpapi.BodyOf[order](c).Reason)
	}, httpapi.Spec{Body: order{}, BodyLimit: 100})
	for _, c := range []struct {
		name, encoding, body string
		status               int
		says, details        string
	}{
		{"an unknown field", "", `{"resaon":"why"}`, 400, "resaon is not a field", `[{"field":"resaon","message":"is not a field of this request; did you mean reason?"}]`},
		{"a field without a name", "", `{"":"why"}`, 400, `"" is not a field`, `[{"field":"\"\"","message":"is not a field of this request"}]`},
		{"packed", "gzip", `{"reason":"why"}`, 415, "must not be compressed", "null"},
		{"the identity encoding", "Identity", `{"reason":"why"}`, 200, "", ""},
	} {
		r := httptest.NewRequest(http.MethodPost, "/api/v1/json", strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Content-Encoding", c.encoding)
		a := h.do(t, r)
		require.Equal(t, c.status, a.status, "%s: %s", c.name, a.text)
		require.Contains(t, a.body.Error.Message, c.says, c.name)
		require.Equal(t, c.details, string(a.body.Error.Details), c.name)
	}
}
