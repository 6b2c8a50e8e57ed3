package destination

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/egress"
)

const (
	maxPEM        = 64 << 10 // bytes of one field
	maxChain      = 20       // certificates in one field
	expiryWarning = 30 * 24 * time.Hour
)

// tlsFiles is a destination's contract.DestinationTLS as it is sealed, with its key in plain
// text.
type tlsFiles struct {
	CACertificate     string `json:"caCertificate,omitempty"`
	ClientCertificate string `json:"clientCertificate,omitempty"`
	ClientKey         string `json:"clientKey,omitempty"`
}

func newTLSFiles(c contract.DestinationTLS) tlsFiles {
	return tlsFiles{CACertificate: c.CACertificate, ClientCertificate: c.ClientCertificate, ClientKey: c.ClientKey.Reveal()}
}

func (f tlsFiles) empty() bool { return f == tlsFiles{} }

// ownTLS is the parsed TLS configuration.
type ownTLS struct {
	egress.TLS
	authorities []*x509.Certificate
	client      *x509.Certificate // nil: none
}

// build parses the files and collects violations. No message repeats the key.
func (f tlsFiles) build(wrong *violations) *ownTLS {
	own := &ownTLS{}
	own.ID = f.id()
	if f.CACertificate != "" {
		own.RootCAs = x509.NewCertPool()
		own.authorities = certificates("tls.caCertificate", f.CACertificate, wrong)
		for _, c := range own.authorities {
			own.RootCAs.AddCert(c)
		}
	}
	switch {
	case f.ClientCertificate == "" && f.ClientKey == "":
		return own
	case f.ClientKey == "":
		wrong.add("tls.clientKey", "is required with a client certificate")
		return own
	case f.ClientCertificate == "":
		wrong.add("tls.clientCertificate", "is required with a client key")
		return own
	}
	chain := certificates("tls.clientCertificate", f.ClientCertificate, wrong)
	checkKey(f.ClientKey, wrong)
	if len(*wrong) > 0 || len(chain) == 0 {
		return own
	}
	pair, err := tls.X509KeyPair([]byte(f.ClientCertificate), []byte(f.ClientKey))
	if err != nil {
		wrong.add("tls.clientKey", "does not belong to the first client certificate, or has an unsupported type")
		return own
	}
	own.Certificate, own.client = &pair, chain[0]
	return own
}

// id identifies the files' contents.
func (f tlsFiles) id() string {
	hash := sha256.New()
	for _, text := range []string{f.CACertificate, f.ClientCertificate, f.ClientKey} {
		_, _ = fmt.Fprintf(hash, "%d:%s,", len(text), text)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// certificates parses PEM blocks.
func certificates(field, text string, wrong *violations) (list []*x509.Certificate) {
	if len(text) > maxPEM {
		wrong.add(field, "must have at most %d bytes", maxPEM)
		return nil
	}
	for rest := []byte(text); len(bytes.TrimSpace(rest)) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			wrong.add(field, "holds text that is not PEM; include the BEGIN and END lines")
			return nil
		}
		if block.Type != "CERTIFICATE" {
			wrong.add(field, "must hold only certificates, but has a block of another type (%s)", Brief(block.Type))
			return nil
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			wrong.add(field, "holds a certificate that cannot be read (number %d)", len(list)+1)
			return nil
		}
		list = append(list, c)
	}
	if len(list) == 0 || len(list) > maxChain {
		wrong.add(field, "must hold 1 to %d certificates", maxChain)
		return nil
	}
	return list
}

func checkKey(text string, wrong *violations) {
	block, rest := pem.Decode([]byte(text))
	switch {
	case len(text) > maxPEM:
		wrong.add("tls.clientKey", "must have at most %d bytes", maxPEM)
	case block == nil:
		wrong.add("tls.clientKey", "is not PEM; include the BEGIN and END lines")
	case strings.Contains(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "":
		wrong.add("tls.clientKey", "is encrypted with a passphrase; remove the passphrase: the key is encrypted before it is stored")
	case !strings.HasSuffix(block.Type, "PRIVATE KEY"):
		wrong.add("tls.clientKey", "must be a private key, not %s", Brief(block.Type))
	case len(bytes.TrimSpace(rest)) > 0:
		wrong.add("tls.clientKey", "must hold exactly one key")
	}
}

// check validates new files. It also rejects expired certificates.
func (f tlsFiles) check(url string, at time.Time, wrong *violations) {
	if f.empty() {
		return
	}
	own := f.build(wrong)
	if !overTLS(url) {
		wrong.add("tls", "needs a url that starts with https://")
	}
	for _, c := range own.authorities {
		if at.After(c.NotAfter) {
			wrong.add("tls.caCertificate", "holds a certificate that expired on %s (%s)", c.NotAfter.UTC().Format(time.DateOnly), c.Subject)
		}
	}
	if c := own.client; c != nil && at.After(c.NotAfter) {
		wrong.add("tls.clientCertificate", "expired on %s", c.NotAfter.UTC().Format(time.DateOnly))
	}
}

func overTLS(url string) bool { return strings.HasPrefix(strings.ToLower(url), "https://") }

// unsealTLS decrypts and parses the destination's TLS configuration, once per version.
func (d *Destination) unsealTLS(s Sealer, before *Destination) error {
	if d.SealedTLS == nil {
		return nil
	}
	if err := unsealJSON(s, d.place(columnTLS), d.SealedTLS, &d.tls); err != nil {
		return fmt.Errorf("open the TLS configuration of destination %s: %w", d.ID, err)
	}
	if before.own != nil && before.own.ID == d.tls.id() {
		d.own = before.own
		return nil
	}
	var wrong violations
	own := d.tls.build(&wrong)
	if len(wrong) > 0 {
		return errors.Join(fmt.Errorf("the TLS configuration of destination %s cannot be used", d.ID), wrong.err())
	}
	d.own = own
	return nil
}

// trust returns the TLS configuration for requests to the destination; nil for the default.
func (d *Destination) trust() *egress.TLS {
	if d.own == nil {
		return nil
	}
	return &d.own.TLS
}

// shownTLS returns the visible parts of the TLS configuration; nil without one.
func (d *Destination) shownTLS(at time.Time) *contract.DestinationTLSInfo {
	if d.own == nil {
		return nil
	}
	info := &contract.DestinationTLSInfo{CACertificates: []contract.CertificateInfo{}, Warnings: []string{}}
	show := func(what string, c *x509.Certificate) contract.CertificateInfo {
		if end := c.NotAfter.UTC(); at.After(end) {
			info.Warnings = append(info.Warnings, what+" expired on "+end.Format(time.DateOnly))
		} else if end.Sub(at) < expiryWarning {
			info.Warnings = append(info.Warnings, what+" expires on "+end.Format(time.DateOnly))
		}
		return contract.CertificateInfo{Subject: c.Subject.String(), ExpiresAt: clock.At(c.NotAfter)}
	}
	for _, c := range d.own.authorities {
		info.CACertificates = append(info.CACertificates, show("the CA certificate "+c.Subject.String(), c))
	}
	if d.own.client != nil {
		client := show("the client certificate", d.own.client)
		info.ClientCertificate = &client
	}
	return info
}
