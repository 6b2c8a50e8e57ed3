package egress

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// connectProxy is a small CONNECT proxy. It records its requests, and answers with refuse
// if that is set.
type connectProxy struct {
	mu       sync.Mutex
	requests []string
	auth     string
	refuse   int
}

func (p *connectProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.requests, p.auth = append(p.requests, r.Method+" "+r.Host), r.Header.Get("Proxy-Authorization")
	refuse := p.refuse
	p.mu.Unlock()
	if refuse != 0 {
		w.WriteHeader(refuse)
		return
	}
	out, err := net.Dial("tcp", r.Host) //nolint:noctx // it ends with the test
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	in, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = out.Close()
		return
	}
	_, _ = io.WriteString(in, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
	_, _ = io.Copy(in, out)
	_ = in.Close()
}

func (p *connectProxy) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.requests...)
}

// throughProxy starts a proxy and returns a client that uses it and may connect to the
// addresses in allow.
func throughProxy(t *testing.T, cfg Config, allow string, overTLS bool) (*connectProxy, *Client) {
	t.Helper()
	p := &connectProxy{}
	s := httptest.NewUnstartedServer(p)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if overTLS {
		s.StartTLS()
		cfg.RootCAs.AddCert(s.Certificate())
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	require.NoError(t, err)
	u.User = url.UserPassword("operator", "hunter2")
	cfg.Proxy = u
	cfg.Allow, err = ParseAllow(entries(allow))
	require.NoError(t, err)
	c := New(cfg)
	t.Cleanup(c.Close)
	return p, c
}

func entries(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}

func TestTLSIsWithTheDestinationThroughTheProxy(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "by "+r.Host)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshakes
	s.StartTLS()
	t.Cleanup(s.Close)
	for name, overTLS := range map[string]bool{"http": false, "https": true} {
		t.Run(name, func(t *testing.T) {
			roots := x509.NewCertPool()
			p, c := throughProxy(t, Config{RootCAs: roots}, "127.0.0.1", overTLS)
			_, err := post(t, c, s.URL, "")
			if !overTLS {
				require.ErrorAs(t, err, new(x509.UnknownAuthorityError), "an intermediary is not trusted")
				require.Equal(t, KindTLS, KindOf(err))
			}
			roots.AddCert(s.Certificate())
			res, err := post(t, c, s.URL, "")
			require.NoError(t, err)
			require.Equal(t, "by "+s.Listener.Addr().String(), string(res.Body))
			asked := len(p.seen())
			require.Equal(t, "CONNECT "+s.Listener.Addr().String(), p.seen()[0])
			require.Equal(t, "Basic "+base64.StdEncoding.EncodeToString([]byte("operator:hunter2")), p.auth)
			_, err = post(t, c, s.URL, "")
			require.NoError(t, err)
			require.Len(t, p.seen(), asked, "the connection is reused")
		})
	}
}

func TestTheProxyGetsTheCheckedAddress(t *testing.T) {
	u, err := url.Parse(serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }))
	require.NoError(t, err)
	p, c := throughProxy(t, Config{}, "127.0.0.1", false)
	res, err := post(t, c, "http://localhost:"+u.Port()+"/", "")
	require.NoError(t, err)
	require.Equal(t, "localhost:"+u.Port(), string(res.Body), "the destination gets its name")
	require.Equal(t, []string{"CONNECT 127.0.0.1:" + u.Port()}, p.seen(), "and the proxy the address, whatever it would resolve the name to")
}

func TestTheRulesApplyThroughAProxy(t *testing.T) {
	for host, want := range map[string]Refusal{"127.0.0.1": Loopback, "localhost": Loopback, "10.0.0.1": Private, "169.254.169.254": Metadata, "[::ffff:10.0.0.1]": Private} {
		p, c := throughProxy(t, Config{}, "", false)
		_, err := post(t, c, "https://"+host+"/?token=hunter2", "")
		var refusal Refusal
		require.ErrorAs(t, err, &refusal, host)
		require.Equal(t, want, refusal, host)
		require.Empty(t, p.seen(), "the proxy is not used")
	}
	deny, err := ParseDeny([]string{"localhost"})
	require.NoError(t, err)
	_, c := throughProxy(t, Config{Deny: deny}, "localhost", false)
	_, err = post(t, c, "https://localhost/", "")
	require.ErrorIs(t, err, Denied)
}

func TestAProxyThatDoesNotConnect(t *testing.T) {
	p, c := throughProxy(t, Config{}, "127.0.0.1", false)
	p.refuse = http.StatusProxyAuthRequired
	_, err := post(t, c, "http://127.0.0.1:1/", "")
	var failed *ProxyError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, http.StatusProxyAuthRequired, failed.Status)
	require.Equal(t, KindProxy, KindOf(err))
	require.NotContains(t, err.Error(), "hunter2")

	p.refuse = 0
	_, err = post(t, c, "http://127.0.0.1:1/", "")
	require.ErrorAs(t, err, &failed)
	require.Equal(t, http.StatusBadGateway, failed.Status, "an unreachable destination")

	c.cfg.Proxy = &url.URL{Scheme: "http", Host: "127.0.0.1:1", User: url.UserPassword("operator", "hunter2")}
	_, err = post(t, c, "http://127.0.0.1:1/", "")
	require.ErrorAs(t, err, &failed)
	require.Zero(t, failed.Status)
	require.NotContains(t, err.Error(), "127.0.0.1:1", "the proxy's address is not shown")
	require.NotContains(t, err.Error(), "hunter2")
}

func TestAHangingOrMisbehavingProxyIsAbandoned(t *testing.T) {
	for name, c := range map[string]struct {
		answers string
		says    string
	}{
		"it never responds":        {"", "i/o timeout"},
		"it sends data unasked":    {"HTTP/1.1 200 OK\r\n\r\nSSH-2.0", "sent data before"},
		"its header is endless":    {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxHeaderBytes), "unexpected EOF"},
		"it uses another protocol": {"SSH-2.0-OpenSSH\r\n\r\n", "malformed HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			t.Cleanup(func() { _ = listener.Close() })
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = http.ReadRequest(bufio.NewReader(conn))
				_, _ = io.WriteString(conn, c.answers)
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			}()
			client := localClient(t, Config{Proxy: &url.URL{Scheme: "http", Host: listener.Addr().String()}, DialTimeout: 200 * time.Millisecond})
			_, err = post(t, client, "http://127.0.0.1:1/", "")
			var failed *ProxyError
			require.ErrorAs(t, err, &failed)
			require.ErrorContains(t, err, c.says)
		})
	}
	t.Run("the caller gives up", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = listener.Close() })
		client := localClient(t, Config{Proxy: &url.URL{Scheme: "http", Host: listener.Addr().String()}})
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				_, _ = http.ReadRequest(bufio.NewReader(conn))
				cancel()
			}
		}()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1:1/", nil)
		require.NoError(t, err)
		_, err = client.Do(req, nil)
		require.True(t, errors.Is(err, context.Canceled) || errors.As(err, new(*ProxyError)), "%v", err)
	})
}

func TestAddressesOfBothFamiliesAreTriedAlternately(t *testing.T) {
	var addrs, want []netip.Addr
	for _, text := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1"} {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	for _, text := range []string{"2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3"} {
		want = append(want, netip.MustParseAddr(text))
	}
	require.Equal(t, want, alternate(addrs))
	require.Empty(t, alternate(nil))
}
