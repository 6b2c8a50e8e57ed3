// Package tlsfiles is a listener's TLS as it stands in files: its certificate and, where
// clients need one too, whose certificates they show. It follows the files while the
// listener runs. It trusts nobody by itself and opens no connection.
package tlsfiles

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"strings"
)

// Paths name the files, all of them PEM.
type Paths struct {
	Cert     string // the certificate, and behind it those between it and the root
	Key      string
	ClientCA string // "": clients need no certificate
}

// The files, as Mistake names them.
const (
	Cert     = "certificate"
	Key      = "key"
	ClientCA = "client CA"
)

// Mistake is what is wrong with a file. Neither field holds a path or anything of the
// file, since somebody may have given the key itself.
type Mistake struct {
	File      string // Cert, Key or ClientCA
	What, Fix string
}

// Mistakes is all that is wrong.
type Mistakes []Mistake

func (m Mistakes) Error() string {
	all := make([]string, len(m))
	for i, one := range m {
		all[i] = one.File + ": " + one.What
	}
	return strings.Join(all, "; ")
}

// contents are the files' bytes.
type contents struct{ cert, key, clientCA []byte }

func (c contents) equal(o contents) bool {
	return bytes.Equal(c.cert, o.cert) && bytes.Equal(c.key, o.key) && bytes.Equal(c.clientCA, o.clientCA)
}

func (p Paths) read() (contents, Mistakes) {
	var c contents
	var wrong Mistakes
	for _, file := range []struct {
		name, path string
		into       *[]byte
	}{{Cert, p.Cert, &c.cert}, {Key, p.Key, &c.key}, {ClientCA, p.ClientCA, &c.clientCA}} {
		if file.path == "" && file.name == ClientCA {
			continue
		}
		text, err := os.ReadFile(file.path)
		if err != nil {
			wrong = append(wrong, Mistake{file.name, "it cannot be read: " + reason(err), "name a PEM file that the gateway's user may read"})
		}
		*file.into = text
	}
	return c, wrong
}

// reason is err without the path.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return "it is no file"
}

// parse makes the listener's TLS of what the files hold. TLS 1.2 is the least: RFC 8996
// forbids what is older.
func (c contents) parse() (*tls.Config, Mistakes) {
	var wrong Mistakes
	pair, err := tls.X509KeyPair(c.cert, c.key)
	if err != nil {
		wrong = append(wrong, Mistake{Cert, "it and the key make no pair: " + strings.TrimPrefix(err.Error(), "tls: "),
			"give the certificate with those behind it, and its own key, each in PEM"})
	}
	cfg := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"http/1.1"}, // all that the listener speaks
	}
	if c.clientCA == nil {
		return cfg, wrong
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(c.clientCA) {
		wrong = append(wrong, Mistake{ClientCA, "it holds no certificate", "give the certificates of those who issue the clients', in PEM"})
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	return cfg, wrong
}

// load reads and parses. Where a file cannot be read, that is all there is to say of the
// pair.
func (p Paths) load() (contents, *tls.Config, Mistakes) {
	c, wrong := p.read()
	if len(wrong) > 0 {
		return c, nil, wrong
	}
	cfg, wrong := c.parse()
	return c, cfg, wrong
}

// Check says all that is wrong with the files as they are.
func Check(p Paths) Mistakes {
	_, _, wrong := p.load()
	return wrong
}
