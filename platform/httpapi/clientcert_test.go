package httpapi_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/testkit"
)

func TestTheCertificateOfAClient(t *testing.T) {
	authority := testkit.NewAuthority(t)
	text := string(authority.Issue(time.Hour, time.Hour).Cert)
	block, _ := pem.Decode([]byte(text))
	leaf, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	other, err := x509.ParseCertificate(func() []byte { b, _ := pem.Decode(authority.PEM); return b.Bytes }())
	require.NoError(t, err)
	rfc := ":" + base64.StdEncoding.EncodeToString(leaf.Raw) + ":"
	verified := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf, other}}}
	unverified := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	const proxy, stranger = "10.0.0.1:80", "192.0.2.1:80"
	for _, c := range []struct {
		name, peer, header string
		tls                *tls.ConnectionState
		values             []string
		known, wrong       bool
	}{
		{"of the connection", stranger, "", verified, nil, true, false},
		{"that nobody verified", stranger, "", unverified, nil, false, false},
		{"none", stranger, "", &tls.ConnectionState{}, nil, false, false},
		{"plain HTTP", stranger, "", nil, nil, false, false},
		{"RFC 9440, from the proxy", proxy, "Client-Cert", nil, []string{rfc}, true, false},
		{"PEM in URL encoding, from the proxy", proxy, "Client-Cert", nil, []string{url.PathEscape(text)}, true, false},
		{"from a stranger", stranger, "Client-Cert", nil, []string{rfc}, false, false},
		{"in a header that is not configured", proxy, "", nil, []string{rfc}, false, false},
		{"in another header", proxy, "X-Cert", nil, []string{rfc}, false, false},
		{"the proxy's own", proxy, "Client-Cert", verified, nil, false, false},
		{"an empty one", proxy, "Client-Cert", nil, []string{""}, false, false},
		{"twice", proxy, "Client-Cert", nil, []string{rfc, rfc}, false, true},
		{"two in one", proxy, "Client-Cert", nil, []string{rfc + ", " + rfc}, false, true},
		{"two in PEM", proxy, "Client-Cert", nil, []string{url.PathEscape(text + text)}, false, true},
		{"no base64", proxy, "Client-Cert", nil, []string{":no!:"}, false, true},
		{"no certificate", proxy, "Client-Cert", nil, []string{":bm8=:"}, false, true},
		{"a text", proxy, "Client-Cert", nil, []string{"CN=hooks.example.com"}, false, true},
	} {
		r := get("/api/v1/open")
		r.RemoteAddr, r.TLS = c.peer, c.tls
		r.Header[http.CanonicalHeaderKey("Client-Cert")] = c.values
		found, err := httpapi.ClientCertificate(r, c.header, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
		require.Equal(t, c.wrong, err != nil, c.name)
		require.Equal(t, c.known, err == nil && found != nil, c.name)
		if c.known {
			require.Equal(t, leaf.Raw, found.Raw, c.name)
		}
	}
}
