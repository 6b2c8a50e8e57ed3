package httpapi

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"
)

const headerForwardedFor = "X-Forwarded-For"

// ClientIP returns the address that a request came from: the peer's, or, if the peer is a
// trusted proxy, the one that the trusted proxies report. It is in canonical form, or "" if
// the peer has no IP address.
func ClientIP(c echo.Context) string {
	if e := c.Echo(); e != nil && e.IPExtractor != nil {
		return e.IPExtractor(c.Request())
	}
	return text(peer(c.Request())) // never echo's fallback, which trusts any header
}

func (s *Server) clientIP(r *http.Request) string {
	return text(s.clientAddr(r))
}

func (s *Server) clientAddr(r *http.Request) netip.Addr {
	return clientAddr(peer(r), r.Header.Values(headerForwardedFor), s.cfg.TrustedProxies)
}

// clientAddr walks X-Forwarded-For from the right, where the nearest proxy wrote, as long
// as the entries are trusted proxies. It stops at the first address that is not a trusted
// proxy, and before an invalid entry.
func clientAddr(peer netip.Addr, forwarded []string, trusted []netip.Prefix) netip.Addr {
	client := peer
	for i := len(forwarded) - 1; i >= 0; i-- {
		rest, more := forwarded[i], true
		for more {
			if !within(client, trusted) {
				return client
			}
			var entry string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, entry = rest[:comma], rest[comma+1:]
			} else {
				entry, more = rest, false
			}
			addr, ok := parseEntry(entry)
			if !ok {
				return client
			}
			client = addr
		}
	}
	return client
}

// parseEntry reads an address with or without a port, which some load balancers add.
func parseEntry(entry string) (netip.Addr, bool) {
	entry = strings.TrimSpace(entry)
	if withPort, err := netip.ParseAddrPort(entry); err == nil {
		return canonical(withPort.Addr()), true
	}
	if inner, ok := strings.CutPrefix(entry, "["); ok {
		entry = strings.TrimSuffix(inner, "]")
	}
	addr, err := netip.ParseAddr(entry)
	if err != nil {
		return netip.Addr{}, false
	}
	return canonical(addr), true
}

func peer(r *http.Request) netip.Addr {
	addr, _ := parseEntry(r.RemoteAddr)
	return addr
}

// canonical returns one form for all spellings of an address: IPv4 in IPv6 is IPv4, and
// zones, which are local to a machine, are removed.
func canonical(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

func within(addr netip.Addr, networks []netip.Prefix) bool {
	for _, network := range networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

func text(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	return addr.String()
}

// ClientCertificate returns the certificate that the client showed, nil for none: the connection's, if
// it was verified, or, if the peer is a trusted proxy and header is not "", the one that it reports there.
// A certificate of the proxy itself is not the client's.
func ClientCertificate(r *http.Request, header string, trusted []netip.Prefix) (*x509.Certificate, error) {
	if within(peer(r), trusted) {
		if header == "" {
			return nil, nil //nolint:nilnil // no proxy reports certificates
		}
		return reportedCertificate(r.Header.Values(header))
	}
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil, nil //nolint:nilnil // there is none
	}
	return r.TLS.PeerCertificates[0], nil
}

// reportedCertificate reads a certificate as RFC 9440 writes it, or in PEM with URL encoding, as
// nginx and load balancers do. A header that is given twice may be the client's own.
func reportedCertificate(values []string) (*x509.Certificate, error) {
	if len(values) == 0 || len(values) == 1 && strings.TrimSpace(values[0]) == "" {
		return nil, nil //nolint:nilnil // the client showed none
	}
	if len(values) > 1 {
		return nil, errors.New("the header is given twice")
	}
	text := strings.TrimSpace(values[0])
	if inner, is := strings.CutPrefix(text, ":"); is && strings.HasSuffix(inner, ":") {
		der, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(inner, ":"))
		if err != nil {
			return nil, errors.New("it is not in base64")
		}
		return x509.ParseCertificate(der)
	}
	text, err := url.PathUnescape(text) // a plus stands for itself
	if err != nil {
		return nil, errors.New("it is not in URL encoding")
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("it is neither one certificate in PEM nor one as RFC 9440 writes it")
	}
	return x509.ParseCertificate(block.Bytes)
}
