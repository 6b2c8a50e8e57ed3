package ingestion

import (
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
)

func TestACertificateIsBelievedFromATrustedProxyAlone(t *testing.T) {
	g := setup(t, testkit.Open(t, testkit.SQLite(t)), func(c *Config, _ *Deps) {
		c.ClientCertHeader, c.TrustedProxies = "Client-Cert", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	})
	made := g.manage(http.MethodPost, "/integrations", `{"source":"bank","provider":"generic","secrets":["cn:test program"],"options":{"generic":{"scheme":"certificate","event":{"id":"$.id","type":"$.type"}}}}`)
	require.Equal(t, http.StatusCreated, made.Status)
	authority := testkit.NewAuthority(t)
	reported := func(certificate []byte) string {
		block, _ := pem.Decode(certificate)
		return ":" + base64.StdEncoding.EncodeToString(block.Bytes) + ":"
	}
	genuine := reported(authority.Issue(time.Hour, time.Hour).Cert)
	for _, c := range []struct {
		name, peer string
		values     []string
		status     int
	}{
		{"from the proxy", "10.0.0.1:80", []string{genuine}, http.StatusAccepted},
		{"from a stranger", "192.0.2.1:80", []string{genuine}, http.StatusUnauthorized},
		{"a client's beside the proxy's", "10.0.0.1:80", []string{genuine, genuine}, http.StatusUnauthorized},
		{"none", "10.0.0.1:80", nil, http.StatusUnauthorized},
		{"another's", "10.0.0.1:80", []string{reported(authority.PEM)}, http.StatusUnauthorized},
		{"an expired one", "10.0.0.1:80", []string{reported(authority.Issue(time.Hour, -time.Minute).Cert)}, http.StatusUnauthorized},
	} {
		r := request("bank", `{"id":"1","type":"a"}`)
		r.RemoteAddr = c.peer
		r.Header["Client-Cert"] = c.values
		require.Equal(t, c.status, g.do(r).Status, c.name)
	}
	for _, q := range g.kept() {
		require.Equal(t, "wrong_certificate", q.Reason)
		_, err := g.module.Release(t.Context(), q.ID)
		require.Error(t, err, "the certificate is not there any more")
	}
}
