// Package tlsfiles reads a listener's TLS settings from files: its certificate, and the
// authorities of client certificates if clients need one. It reloads the files while the
// listener runs. It opens no connection.
package tlsfiles

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"
)

// Paths names the files, all of them PEM.
type Paths struct {
	Cert     string // the certificate, followed by its intermediate certificates
	Key      string
	ClientCA string // "": clients need no certificate
	Optional bool   // a client may have no certificate; one that it has must be of ClientCA
}

// The files, as Mistake names them.
const (
	Cert     = "certificate"
	Key      = "key"
	ClientCA = "client CA"
)

// Mistake is a problem with a file. Neither field contains a path or file content, since
// somebody may have given the key itself.
type Mistake struct {
	File      string // Cert, Key or ClientCA
	What, Fix string
}

// Mistakes is the list of all problems.
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
			wrong = append(wrong, Mistake{file.name, "cannot be read: " + reason(err), "name a PEM file that the gateway's user can read"})
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
	return "is not a file"
}

// parse makes the listener's TLS configuration from the files' contents. TLS 1.2 is the
// minimum: RFC 8996 forbids older versions.
func (c contents) parse() (*tls.Config, Mistakes) {
	var wrong Mistakes
	pair, err := tls.X509KeyPair(c.cert, c.key)
	if err != nil {
		wrong = append(wrong, Mistake{Cert, "does not match the key: " + strings.TrimPrefix(err.Error(), "tls: "),
			"give the certificate with its intermediates, and its own key, each in PEM"})
	}
	cfg := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"http/1.1"}, // all that the listener supports
	}
	if c.clientCA == nil {
		return cfg, wrong
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(c.clientCA) {
		wrong = append(wrong, Mistake{ClientCA, "contains no certificate", "give the certificates of the clients' authorities, in PEM"})
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	return cfg, wrong
}

// load reads and parses the files. If a file cannot be read, only that is reported.
func (p Paths) load() (contents, *tls.Config, Mistakes) {
	c, wrong := p.read()
	if len(wrong) > 0 {
		return c, nil, wrong
	}
	cfg, wrong := c.parse()
	if p.Optional && c.clientCA != nil {
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return c, cfg, wrong
}

// Check returns all problems of the files.
func Check(p Paths) Mistakes {
	_, _, wrong := p.load()
	return wrong
}

// Life is the time in which a certificate is valid.
type Life struct{ From, Until time.Time }

// LifeOf reads the files and returns the life of the first certificate.
func LifeOf(p Paths) (Life, error) {
	_, cfg, wrong := p.load()
	if len(wrong) > 0 {
		return Life{}, wrong
	}
	leaf := cfg.Certificates[0].Leaf
	return Life{leaf.NotBefore, leaf.NotAfter}, nil
}
