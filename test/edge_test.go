package test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// edge is nginx with docker/nginx.conf in its own folder.
type edge struct {
	t      *testing.T
	binary string
	dir    string
}

// newEdge skips the test if nginx is not installed, and fails it on CI.
func newEdge(t *testing.T) edge {
	t.Helper()
	binary, err := exec.LookPath("nginx")
	if err != nil {
		binary = "/usr/sbin/nginx" // not in every user's PATH
	}
	if _, err := os.Stat(binary); err != nil {
		require.Empty(t, os.Getenv("CI"), "on CI docker/nginx.conf is always checked: install nginx-light")
		t.Skip("nginx is not installed (apt-get install nginx-light)")
	}
	return edge{t: t, binary: binary, dir: t.TempDir()}
}

// resolves reports whether this nginx resolves upstream names repeatedly, like the image's:
// since 1.27.3.
func (e edge) resolves() bool {
	out, err := exec.Command(e.binary, "-v").CombinedOutput()
	require.NoError(e.t, err, "%s", out)
	var version [3]int
	_, after, _ := strings.Cut(string(out), "nginx/")
	_, err = fmt.Sscanf(after, "%d.%d.%d", &version[0], &version[1], &version[2])
	require.NoError(e.t, err, "%s", out)
	return slices.Compare(version[:], []int{1, 27, 3}) >= 0
}

// command returns nginx with docker/nginx.conf, with replacements, and all else in the
// folder.
func (e edge) command(replacements []string, args ...string) *exec.Cmd {
	e.t.Helper()
	text, err := os.ReadFile("../docker/nginx.conf")
	require.NoError(e.t, err)
	for i := 0; i < len(replacements); i += 2 {
		require.Contains(e.t, string(text), replacements[i])
	}
	server := filepath.Join(e.dir, "default.conf")
	require.NoError(e.t, os.WriteFile(server, []byte(strings.NewReplacer(replacements...).Replace(string(text))), 0o600))
	built, err := exec.Command(e.binary, "-V").CombinedOutput()
	require.NoError(e.t, err, "%s", built)
	var conf strings.Builder
	fmt.Fprintf(&conf, "pid %s/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\nclient_body_temp_path %[1]s/body;\n", e.dir)
	for _, module := range []string{"proxy", "fastcgi", "uwsgi", "scgi"} {
		if !strings.Contains(string(built), "--without-http_"+module+"_module") {
			fmt.Fprintf(&conf, "%s_temp_path %s/%[1]s;\n", module, e.dir)
		}
	}
	fmt.Fprintf(&conf, "include %s;\n}\n", server)
	main := filepath.Join(e.dir, "nginx.conf")
	require.NoError(e.t, os.WriteFile(main, []byte(conf.String()), 0o600))
	return exec.Command(e.binary, append([]string{"-e", "stderr", "-p", e.dir, "-c", main}, args...)...)
}

func TestNginxAcceptsTheEdgesConfiguration(t *testing.T) {
	e := newEdge(t)
	var older []string
	if !e.resolves() {
		older = []string{"server api:3000 resolve ", "server 127.0.0.1:3000 "}
	}
	out, err := e.command(older, "-t").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NotContains(t, string(out), "[warn]")

	out, err = e.command(append(older, "limit_conn_status 429;", "limit_conn_statuses 429;"), "-t").CombinedOutput()
	require.Error(t, err, "a mistake is detected")
	require.Contains(t, string(out), `unknown directive "limit_conn_statuses"`)
}

func TestTheEdgeForwardsRequestsUnchanged(t *testing.T) {
	e := newEdge(t)
	requireForwards(t, func(addr, api string) *exec.Cmd {
		return e.command([]string{"api:3000 resolve ", api + " ", "listen 8080;", "listen " + addr + ";"}, "-g", "daemon off;")
	})
}

// requireForwards starts a proxy between an address and the API, and requires that it forwards
// webhooks and health checks unchanged, with the client's address, and nothing else.
func requireForwards(t *testing.T, command func(addr, api string) *exec.Cmd) {
	t.Helper()
	type request struct{ uri, forwarded, host string }
	seen := make(chan request, 100)
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" { // a probe of the proxy's own
			seen <- request{r.RequestURI, strings.Join(r.Header.Values("X-Forwarded-For"), "|"), r.Host}
		}
	}))
	defer api.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := free.Addr().String()
	require.NoError(t, free.Close())
	proxy := command(addr, api.Listener.Addr().String())
	var said strings.Builder
	proxy.Stderr = &said
	require.NoError(t, proxy.Start())
	defer func() {
		_ = proxy.Process.Signal(syscall.SIGTERM)
		_ = proxy.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	}()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)

	ask := func(line string) int {
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		_, err = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: hooks.example\r\nX-Forwarded-For: 203.0.113.9\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", line)
		require.NoError(t, err)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode
	}
	for _, line := range []string{
		"POST /api/v1/webhooks/acme", "POST /api/v1/webhooks/acme-eu_1?a=b%20c&d", "GET /api/v1/webhooks/hub?hub.challenge=1",
		"POST /api/v1/webhooks/%61cme", "GET /api/v1/health", "GET /api/v1/readyz",
	} {
		require.Equal(t, http.StatusOK, ask(line), line)
		require.Equal(t, request{strings.Fields(line)[1], "127.0.0.1", "hooks.example"}, <-seen, "the original request line, and the real client")
	}
	for _, line := range []string{
		"GET /", "GET /api/v1/integrations", "GET /api/v1/%69ntegrations", "GET //api/v1/integrations", "GET http://hooks.example/api/v1/integrations",
		"POST /api/v1/webhooks/../integrations", "POST /api/v1/webhooks/acme/../../integrations", "POST /api/v1/webhooks/acme%2f..%2f..%2fintegrations",
		"POST /api/v1/webhooks/acme/more", "POST /api/v1/webhooks/", "POST /api/v1/webhooks/ACME", "POST /api/v1/webhooks/acme;x", "GET /api/v1/livez",
		"POST /api/v1/internal/delivery-sink/acme", "GET /api/v1/healthy", "GET /api/v1/health/",
	} {
		require.Equal(t, http.StatusNotFound, ask(line), line)
	}
	require.Empty(t, seen, "none of these was forwarded")
}
