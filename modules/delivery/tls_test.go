package delivery

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/secret"
)

// authority makes certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t}
	a.cert, a.key = a.issue(name, time.Hour, nil)
	return a
}

// issue makes a certificate of a's, or of its own where a has none yet, that ends after life.
func (a *authority) issue(name string, life time.Duration, hosts []net.IP) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	now := time.Now()
	c := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(life),
		IPAddresses: hosts, IsCA: a.cert == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	parent, signer := c, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	require.NoError(a.t, err)
	made, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return made, key
}

// files are a client certificate of a's with its key, and a's own certificate.
func (a *authority) files(name string, life time.Duration) (files contract.DestinationTLS) {
	c, key := a.issue(name, life, nil)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	return contract.DestinationTLS{CACertificate: inPEM("CERTIFICATE", a.cert.Raw), ClientCertificate: inPEM("CERTIFICATE", c.Raw),
		ClientKey: secret.New(inPEM("PRIVATE KEY", der))}
}

func inPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// server is a destination under a's certificate that lets in who shows one of a's.
func (a *authority) server(handler http.HandlerFunc) *httptest.Server {
	c, key := a.issue("server", time.Hour, []net.IP{net.IPv4(127, 0, 0, 1)})
	s := httptest.NewUnstartedServer(handler)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		Certificates: []tls.Certificate{{Certificate: [][]byte{c.Raw}, PrivateKey: key}}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshakes
	s.StartTLS()
	a.t.Cleanup(s.Close)
	return s
}

func TestADeliveryShowsItsCertificateAndKnowsTheDestinations(t *testing.T) {
	a := newAuthority(t, "the destination's authority")
	eachHarness(t, func(h *harness) {
		came := make(chan string, 10)
		s := a.server(func(_ http.ResponseWriter, r *http.Request) { came <- r.TLS.PeerCertificates[0].Subject.CommonName })
		first, second := a.files("first", time.Hour), a.files("second", time.Hour)
		made := h.add(contract.DestinationConfig{URL: &s.URL, TLS: &first, Policy: &contract.DestinationPolicy{MaxAttempts: to(1)}})
		h.run()
		h.becomes(h.accept(), contract.EventProcessed)
		require.Equal(t, "first", <-came)

		h.tx(func(ctx context.Context, tx *database.Tx) error {
			return h.ChangeDestination(ctx, tx, h.integration, made.ID, contract.DestinationConfig{TLS: &second})
		})
		h.becomes(h.accept(), contract.EventProcessed)
		require.Equal(t, "second", <-came, "a connection under the former certificate is not used again")

		for name, files := range map[string]contract.DestinationTLS{
			"without a client certificate": {CACertificate: second.CACertificate},
			"of another authority":         newAuthority(t, "nobody's").files("stranger", time.Hour),
			"without anything":             {},
		} {
			h.tx(func(ctx context.Context, tx *database.Tx) error {
				return h.ChangeDestination(ctx, tx, h.integration, made.ID, contract.DestinationConfig{TLS: &files})
			})
			event := h.accept()
			h.becomes(event, contract.EventFailed)
			attempts, _ := h.history(event)
			require.Equal(t, "tls", *attempts[0].ErrorKind, name)
		}
		require.Empty(t, came)
		h.audited(made.ID, "destination.created", "destination.changed", "destination.changed", "destination.changed", "destination.changed")
	})
}
