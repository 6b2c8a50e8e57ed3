package egress

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
)

const waitTimeout = 5 * time.Second

// localClient returns a client that may connect to this machine.
func localClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	var err error
	cfg.Allow, err = ParseAllow([]string{"127.0.0.0/8", "::1"})
	require.NoError(t, err)
	c := New(cfg)
	t.Cleanup(c.Close)
	return c
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

func post(t *testing.T, c *Client, to, body string) (Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(body))
	require.NoError(t, err)
	return c.Do(r, nil)
}

func TestDo(t *testing.T) {
	to := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Got", r.Method+" "+string(body))
		w.Header().Set("X-Sent", strings.Join(r.Header["Idempotency-Key"], ",")+r.Header.Get("Accept-Encoding"))
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "thanks\x00\xff")
	})
	res, err := post(t, localClient(t, Config{}), to, `{"a":1}`)
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, res.Status)
	require.Equal(t, "thanks\x00\xff", string(res.Body))
	require.Equal(t, `POST {"a":1}`, res.Header.Get("X-Got"))
	require.Empty(t, res.Header.Get("X-Sent"), "headers that the caller did not set are not sent")
}

func TestAddressesThatAreNotAllowedAreRefused(t *testing.T) {
	var reached atomic.Bool
	u, err := url.Parse(serve(t, func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	require.NoError(t, err)
	for _, host := range []string{"127.0.0.1", "localhost", "LOCALHOST", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"} {
		c := New(Config{})
		_, err := post(t, c, "http://"+host+":"+u.Port()+"/?token=hunter2", "")
		var refusal Refusal
		require.ErrorAs(t, err, &refusal, host)
		require.Contains(t, []Refusal{Loopback, Unspecified}, refusal)
		require.NotContains(t, err.Error(), "hunter2")
		c.Close()
	}
	require.False(t, reached.Load())
}

func TestAHostAllowedByNameMayResolveToAnyAddress(t *testing.T) {
	u, err := url.Parse(serve(t, func(http.ResponseWriter, *http.Request) {}))
	require.NoError(t, err)
	allow, err := ParseAllow([]string{"localhost"})
	require.NoError(t, err)
	c := New(Config{Allow: allow})
	t.Cleanup(c.Close)
	for _, host := range []string{"localhost", "LocalHost"} {
		res, err := post(t, c, "http://"+host+":"+u.Port(), "")
		require.NoError(t, err, host)
		require.Equal(t, http.StatusOK, res.Status)
	}
	_, err = post(t, c, "http://127.0.0.1:"+u.Port(), "")
	require.ErrorAs(t, err, new(Refusal), "its address is only allowed by that name")
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var followed atomic.Bool
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{"/elsewhere", "http://169.254.169.254/latest", ":not a url", ""} {
			to := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					followed.Store(true)
				}
				w.Header().Set("Location", location)
				w.WriteHeader(status)
			})
			res, err := post(t, localClient(t, Config{}), to, "x")
			require.NoError(t, err, location)
			require.Equal(t, status, res.Status)
		}
	}
	require.False(t, followed.Load())
}

func TestTheEnvironmentsProxyIsNotUsed(t *testing.T) {
	proxy := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	t.Setenv("HTTP_PROXY", proxy)
	t.Setenv("http_proxy", proxy)
	require.Nil(t, New(Config{}).transport.Proxy)
}

func TestLongBodiesAreTruncatedAndTheStatusKept(t *testing.T) {
	for _, c := range []struct {
		name  string
		size  int
		limit int
		kept  int
	}{
		{"nothing", 0, 0, 0},
		{"as much as is kept", 16 << 10, 0, 16 << 10},
		{"one byte more", 16<<10 + 1, 0, 16 << 10},
		{"more than the operator's limit", 100, 10, 10},
		{"100 MB", 100 << 20, 0, 16 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			var written atomic.Int64
			to := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(c.size))
				chunk := bytes.Repeat([]byte("x"), 64<<10)
				for left := c.size; left > 0; left -= len(chunk) {
					n, err := w.Write(chunk[:min(left, len(chunk))])
					written.Add(int64(n))
					if err != nil {
						return
					}
				}
			})
			client := localClient(t, Config{BodyBytes: c.limit})
			res, err := post(t, client, to, "")
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, res.Status)
			require.Len(t, res.Body, c.kept)
			require.Less(t, written.Load(), int64(50<<20), "the server could not finish")
		})
	}
}

func TestASlowBodyIsTruncatedAndItsBeginningKept(t *testing.T) {
	leave := make(chan struct{})
	drip := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "first")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-leave:
		case <-r.Context().Done():
		}
	}
	t.Cleanup(func() { close(leave) })
	t.Run("by BodyTimeout", func(t *testing.T) {
		start := clock.System()
		res, err := post(t, localClient(t, Config{BodyTimeout: 50 * time.Millisecond}), serve(t, drip), "")
		require.NoError(t, err)
		require.Equal(t, http.StatusCreated, res.Status)
		require.Equal(t, "first", string(res.Body))
		require.Less(t, clock.Now(clock.System).Since(start), waitTimeout/2)
	})
	t.Run("by the caller's deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, serve(t, drip), nil)
		require.NoError(t, err)
		res, err := localClient(t, Config{}).Do(r, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusCreated, res.Status)
		require.Equal(t, "first", string(res.Body))
	})
}

func TestAnIncompleteBodyIsNotAnError(t *testing.T) {
	to := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "part")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	res, err := post(t, localClient(t, Config{}), to, "")
	require.NoError(t, err)
	require.Equal(t, "part", string(res.Body))
}

func TestAServerThatNeverResponds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // only the kernel accepts
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	for _, scheme := range []string{"http://", "https://"} {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+listener.Addr().String(), nil)
		require.NoError(t, err)
		start := clock.System()
		_, err = localClient(t, Config{}).Do(r, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded, scheme)
		require.Less(t, clock.Now(clock.System).Since(start), waitTimeout/2)
		cancel()
	}
	t.Run("without a caller's deadline, ours applies", func(t *testing.T) {
		r, err := http.NewRequest(http.MethodPost, "http://"+listener.Addr().String(), nil)
		require.NoError(t, err)
		_, err = localClient(t, Config{Timeout: 50 * time.Millisecond}).Do(r, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	t.Run("a handshake has its own timeout", func(t *testing.T) {
		_, err := post(t, localClient(t, Config{TLSTimeout: 50 * time.Millisecond}), "https://"+listener.Addr().String(), "")
		require.EqualError(t, err, "no TLS handshake within 50ms")
		require.Equal(t, KindTimeout, KindOf(err))
	})
}

func TestEndlessHeaders(t *testing.T) {
	to := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Filler", strings.Repeat("x", 1<<20))
	})
	_, err := post(t, localClient(t, Config{}), to, "")
	require.Error(t, err)
}

func TestCertificatesAreVerified(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshakes
	s.StartTLS()
	t.Cleanup(s.Close)
	_, err := post(t, localClient(t, Config{}), s.URL, "")
	require.ErrorAs(t, err, new(x509.UnknownAuthorityError))
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	res, err := post(t, localClient(t, Config{RootCAs: roots}), s.URL, "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.Status)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	require.NoError(t, err)
	_, err = post(t, localClient(t, Config{RootCAs: roots}), "https://localhost:"+port, "")
	require.ErrorAs(t, err, new(x509.HostnameError), "the right authority, but another name")
}
