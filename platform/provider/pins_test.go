package provider

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/secret"
)

func TestAClientCertificateProvesARequest(t *testing.T) {
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	cert := &x509.Certificate{Raw: []byte("a certificate"), Subject: pkix.Name{CommonName: "hooks.example.com"}, DNSNames: []string{"Mail.example.com", "*.example.com"},
		NotBefore: at.Add(-time.Hour), NotAfter: at.Add(time.Hour)}
	sum := fmt.Sprintf("%x", sha256.Sum256(cert.Raw))
	s := described(t, "scheme: certificate\nevent: {type: $.type}")
	colons := strings.ToUpper(sum[:2])
	for i := 2; i < len(sum); i += 2 {
		colons += ":" + strings.ToUpper(sum[i:i+2])
	}
	shown := func() (*x509.Certificate, error) { return cert, nil }
	verify := func(s Spec, of func() (*x509.Certificate, error), at time.Time, secrets ...Secret) error {
		_, err := s.Authenticate(Request{Method: http.MethodPost, Header: http.Header{}, Body: []byte("{}"), ReceivedAt: at, ClientCertificate: of}, secrets)
		return err
	}
	for text, good := range map[string]bool{
		"sha256:" + sum: true, "sha256:" + colons: true, "cn:hooks.example.com": true, "dns:mail.example.com": true, "dns:*.example.com": true,
		"sha256:" + strings.Repeat("0", 64): false, "cn:Hooks.example.com": false, "cn:mail.example.com": false, "dns:hooks.example.com": false,
		"dns:www.example.com": false, "hooks.example.com": false, sum: false, "cn:": false,
	} {
		key := Secret{ID: "1", Purpose: Signing, Value: secret.New(text)}
		require.Equal(t, good, verify(s, shown, at, key) == nil, text)
		key.Purpose = Token
		require.Error(t, verify(s, shown, at, key), "of another purpose")
	}
	named := Secret{ID: "1", Purpose: Signing, Value: secret.New("cn:hooks.example.com")}
	require.NoError(t, verify(s, shown, cert.NotAfter, named))
	for name, of := range map[string]func() (*x509.Certificate, error){
		"none can be known": nil,
		"none is shown":     func() (*x509.Certificate, error) { return nil, nil },
		"it is unreadable":  func() (*x509.Certificate, error) { return cert, errors.New("given twice") },
	} {
		require.Equal(t, WrongCertificate, reasonOf(verify(s, of, at, named)), name)
	}
	require.Equal(t, WrongCertificate, reasonOf(verify(s, shown, cert.NotAfter.Add(time.Second), named)))
	require.Equal(t, WrongCertificate, reasonOf(verify(s, shown, cert.NotBefore.Add(-time.Second), named)))
	require.Equal(t, WrongCertificate, reasonOf(verify(s, shown, at)), "no secret")
	_, err := Certificates{}.Verify(Request{ClientCertificate: shown, ReceivedAt: at}, []Secret{named})
	require.Error(t, err, "an empty list proves nothing")
	require.Error(t, s.ValidateSecret(secret.New("hooks.example.com")))
	require.NoError(t, s.ValidateSecret(named.Value))
}

func TestACertificateBesideAnotherProof(t *testing.T) {
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	s := described(t, "allOf:\n- {scheme: certificate, certificates: [\"cn:hooks.example.com\"]}\n- {scheme: hmac, signature: {header: X-Sig}}\nevent: {type: $.type}")
	keys := []Secret{{ID: "1", Purpose: Signing, Value: secret.New("key")}}
	for _, c := range []struct {
		name, key string
		good      bool
	}{{"hooks.example.com", "key", true}, {"hooks.example.com", "cn:hooks.example.com", false}, {"other.example.com", "key", false}, {"", "key", false}} {
		req := Request{Header: http.Header{"X-Sig": {hexHMAC(c.key, "{}")}}, Body: []byte("{}"), ReceivedAt: at}
		if c.name != "" {
			req.ClientCertificate = func() (*x509.Certificate, error) {
				return &x509.Certificate{Subject: pkix.Name{CommonName: c.name}, NotBefore: at.Add(-time.Hour), NotAfter: at.Add(time.Hour)}, nil
			}
		}
		match, err := s.Authenticate(req, keys)
		require.Equal(t, c.good, err == nil, "%+v", c)
		if c.good {
			require.Equal(t, "1", match.SecretID)
		}
	}
}
