package egress

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// requiringCertificate returns a server that requires a client certificate and counts its
// connections.
func requiringCertificate(t *testing.T) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	opened := &atomic.Int64{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strconv.Itoa(len(r.TLS.PeerCertificates)))
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, opened
}

// trusting returns a configuration that trusts s and presents s's own certificate.
func trusting(s *httptest.Server, id string) *TLS {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &TLS{ID: id, RootCAs: roots, Certificate: &s.TLS.Certificates[0]}
}

func postAs(t *testing.T, c *Client, own *TLS, to string) (Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, http.NoBody)
	require.NoError(t, err)
	return c.Do(req, own)
}

func TestADestinationsOwnTLS(t *testing.T) {
	s, opened := requiringCertificate(t)
	c := localClient(t, Config{})
	_, err := postAs(t, c, nil, s.URL)
	require.ErrorAs(t, err, new(x509.UnknownAuthorityError), "its authority is not public")
	own := trusting(s, "a")
	_, err = postAs(t, c, &TLS{ID: "b", RootCAs: own.RootCAs}, s.URL)
	require.Error(t, err, "it requires a certificate")
	require.Equal(t, KindTLS, KindOf(err))

	opened.Store(0)
	for range 3 {
		res, err := postAs(t, c, own, s.URL)
		require.NoError(t, err)
		require.Equal(t, "1", string(res.Body))
	}
	require.EqualValues(t, 1, opened.Load(), "the connection is reused")
	_, err = postAs(t, c, trusting(s, "c"), s.URL)
	require.NoError(t, err)
	require.EqualValues(t, 2, opened.Load(), "another configuration has its own connections")
	c.Forget(own)
	c.Forget(nil)
	_, err = postAs(t, c, own, s.URL)
	require.NoError(t, err)
	require.EqualValues(t, 3, opened.Load(), "a forgotten configuration connects again")
	_, err = postAs(t, c, nil, s.URL)
	require.Error(t, err, "no request uses another configuration")
}

func TestConfigurationsAreLimited(t *testing.T) {
	made := newTransportCache()
	fresh := func() *http.Transport { return &http.Transport{} }
	first := made.get("0", fresh)
	for i := 1; i < maxTransports; i++ {
		made.get(strconv.Itoa(i), fresh)
	}
	require.Same(t, first, made.get("0", fresh), "the limit is not exceeded")
	made.get("one more", fresh)
	require.Len(t, made.byID, maxTransports)
	require.Equal(t, maxTransports, made.lru.Len())
	require.Same(t, first, made.get("0", fresh), "it was used recently")
	require.NotContains(t, made.byID, "1", "the least recently used one was evicted")
}
