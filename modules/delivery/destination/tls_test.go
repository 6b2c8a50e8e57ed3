package destination

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
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

func TestTheFilesOfTLSAreSealedAndNotShown(t *testing.T) {
	a := newAuthority(t, "an authority")
	eachHarness(t, func(h *harness) {
		files := a.files("client", 29*24*time.Hour)
		made := h.add(contract.DestinationConfig{URL: to("https://example.com/a"), TLS: &files})
		var sealed string
		require.NoError(t, h.db.Get(t.Context(), &sealed, `SELECT tls FROM destinations`))
		require.True(t, strings.HasPrefix(sealed, "sealed:"))
		shown := h.shown(made.ID).TLS
		require.Equal(t, "CN=an authority", shown.CACertificates[0].Subject)
		require.Equal(t, "CN=client", shown.ClientCertificate.Subject)
		require.WithinDuration(t, time.Now().Add(29*24*time.Hour), shown.ClientCertificate.ExpiresAt.Time, time.Minute)
		require.Len(t, shown.Warnings, 2)
		require.Contains(t, shown.Warnings[0], "the CA certificate CN=an authority expires on ")
		require.Contains(t, shown.Warnings[1], "the client certificate expires on ")
		text, err := json.Marshal(h.shown(made.ID))
		require.NoError(t, err)
		require.NotContains(t, string(text), "PRIVATE KEY")
		for _, e := range h.audit.entries {
			require.NotContains(t, string(e.Details), "PRIVATE KEY")
		}

		h.change(made.ID, `{"url":"https://example.com/b"}`)
		require.NotNil(t, h.shown(made.ID).TLS, "it stays")
		h.tx(func(ctx context.Context, tx *database.Tx) error {
			changes, err := h.DestinationChanges(ctx, tx, h.integration, made.ID, contract.DestinationConfig{TLS: &files})
			require.Empty(t, changes, "the same files are no change")
			return err
		})
		err = h.db.InTx(t.Context(), func(tx *database.Tx) error {
			return h.ChangeDestination(t.Context(), tx, h.integration, made.ID, contract.DestinationConfig{URL: to("http://example.com")})
		})
		require.ErrorContains(t, err, "must start with https://, because the destination has tls")
		h.change(made.ID, `{"tls":{}}`)
		require.Nil(t, h.shown(made.ID).TLS)
		require.NoError(t, h.db.Get(t.Context(), &sealed, `SELECT COALESCE(tls, '') FROM destinations`))
		require.Empty(t, sealed)
	})
}

func TestMistakesInTheFilesOfTLS(t *testing.T) {
	a := newAuthority(t, "an authority")
	good, other, ended := a.files("client", time.Hour), a.files("other", time.Hour), a.files("ended", -time.Hour)
	noCA, noKey := contract.DestinationTLS{ClientCertificate: good.ClientCertificate}, contract.DestinationTLS{ClientKey: good.ClientKey}
	pkcs8 := good.ClientKey.Reveal()
	junk := inPEM("CERTIFICATE", []byte("hunter2"))
	h := newHarness(t, testkit.Open(t, testkit.SQLite(t)))
	with := func(f func(*contract.DestinationTLS)) contract.DestinationTLS {
		files := good
		f(&files)
		return files
	}
	key := func(text string) contract.DestinationTLS {
		return with(func(f *contract.DestinationTLS) { f.ClientKey = secret.New(text) })
	}
	for _, c := range []struct {
		name  string
		url   string
		files contract.DestinationTLS
		want  []string // "field: part of the message"
	}{
		{"as it should be", "https://a.example", good, nil},
		{"a CA alone", "https://a.example", contract.DestinationTLS{CACertificate: good.CACertificate}, nil},
		{"two CAs, and text between them that PEM allows", "https://a.example", contract.DestinationTLS{CACertificate: good.CACertificate + "\nthe second\n" + other.CACertificate + "\n"}, nil},
		{"without TLS", "http://a.example", good, []string{"tls: starts with https://"}},
		{"nothing, without TLS", "http://a.example", contract.DestinationTLS{}, nil},
		{"a certificate without its key", "https://a.example", noCA, []string{"tls.clientKey: is required"}},
		{"a key without its certificate", "https://a.example", noKey, []string{"tls.clientCertificate: is required"}},
		{"another one's key", "https://a.example", key(other.ClientKey.Reveal()), []string{"tls.clientKey: does not belong to the first client certificate"}},
		{"no PEM", "https://a.example", contract.DestinationTLS{CACertificate: "hunter2"}, []string{"tls.caCertificate: holds text that is not PEM"}},
		{"text behind the PEM", "https://a.example", contract.DestinationTLS{CACertificate: good.CACertificate + "hunter2"}, []string{"tls.caCertificate: holds text that is not PEM"}},
		{"a certificate that is none", "https://a.example", contract.DestinationTLS{CACertificate: good.CACertificate + junk}, []string{"tls.caCertificate: cannot be read (number 2)"}},
		{"the key in the CA's place", "https://a.example", contract.DestinationTLS{CACertificate: pkcs8}, []string{"tls.caCertificate: another type (PRIVATE KEY)"}},
		{"a key that is none", "https://a.example", key("hunter2"), []string{"tls.clientKey: is not PEM"}},
		{"a certificate in the key's place", "https://a.example", key(good.ClientCertificate), []string{"tls.clientKey: must be a private key"}},
		{"a key with a passphrase", "https://a.example", key(strings.ReplaceAll(pkcs8, "PRIVATE KEY", "ENCRYPTED PRIVATE KEY")), []string{"tls.clientKey: encrypted with a passphrase"}},
		{"two keys", "https://a.example", key(pkcs8 + pkcs8), []string{"tls.clientKey: exactly one key"}},
		{"a damaged key", "https://a.example", key(inPEM("PRIVATE KEY", []byte("hunter2"))), []string{"tls.clientKey: does not belong to the first client certificate"}},
		{"a certificate that ended", "https://a.example", ended, []string{"tls.clientCertificate: expired on"}},
		{"too much", "https://a.example", contract.DestinationTLS{CACertificate: strings.Repeat("x", maxPEM+1)}, []string{"tls.caCertificate: at most"}},
		{"too many", "https://a.example", contract.DestinationTLS{CACertificate: strings.Repeat(good.CACertificate, maxChain+1)}, []string{"tls.caCertificate: 1 to 20"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := h.CheckDestination(contract.DestinationConfig{URL: &c.url, TLS: &c.files})
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			f := fault.As(err)
			require.NotNil(t, f)
			require.Len(t, f.Fields, len(c.want), "%v", f.Fields)
			for i, want := range c.want {
				field, part, _ := strings.Cut(want, ": ")
				require.Equal(t, field, f.Fields[i].Field)
				require.Contains(t, f.Fields[i].Message, part)
			}
			require.NotContains(t, err.Error(), "hunter2")
			require.NotContains(t, err.Error(), strings.Split(pkcs8, "\n")[1])
		})
	}
}

func TestAnEndingCertificateIsLoggedOnce(t *testing.T) {
	a := newAuthority(t, "an authority")
	h := newHarness(t, testkit.Open(t, testkit.SQLite(t)))
	var said bytes.Buffer
	h.cache.log = slog.New(slog.NewTextHandler(&said, nil))
	files := a.files("client", time.Hour)
	made := h.add(contract.DestinationConfig{URL: to("https://example.com/a"), TLS: &files})
	for range 3 {
		h.shown(made.ID)
	}
	require.Equal(t, []string{made.ID}, slices.Collect(maps.Keys(h.ClientCertificates())))
	require.WithinDuration(t, time.Now().Add(time.Hour), h.ClientCertificates()[made.ID], time.Minute)
	require.Equal(t, 1, strings.Count(said.String(), "renew a destination's certificates"), said.String())
	require.NotContains(t, said.String(), "PRIVATE KEY")
}
