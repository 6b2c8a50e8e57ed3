package ingestion

import (
	"crypto/x509"
	"errors"
	"mime"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
)

// read reads the request for the verifier: the exact bytes, within bounds. It decompresses a
// gzip body first: no built-in provider signs the compressed bytes, and the content-encoding
// is part of the transfer, not of the signed message.
//
// charged is the number of decompressed bytes charged to a blocked client address.
func (m *Module) read(c echo.Context, src *source) (req provider.Request, charged int64, err error) {
	r, at := c.Request(), m.d.Now()
	if !accepts(src.Spec, r.Header.Get(echo.HeaderContentType)) {
		return req, 0, wrongType(src.Spec)
	}
	limit := max(m.cfg.MaxBodyBytes, src.Spec.MaxBodyBytes)
	if src.MaxBodyBytes != nil {
		limit = *src.MaxBodyBytes
	}
	packed, err := isPacked(r.Header)
	if err != nil {
		return req, 0, err
	}
	body, err := httpapi.ReadBody(c, limit)
	if err != nil {
		return req, 0, err
	}
	header := r.Header
	if packed {
		if body, charged, err = m.unpack(c, body, limit); err != nil {
			return req, 0, err
		}
		header = header.Clone()
		header.Del(echo.HeaderContentEncoding)
		header.Del(echo.HeaderContentLength)
	}
	return provider.Request{
		Method: r.Method, URL: m.urlOf(r), Header: header, Body: body, ReceivedAt: at, Certificate: m.certificates.forClient(r.Context(), httpapi.ClientIP(c)),
		Path: provider.PathOf(m.urlOf(r)), KeySet: m.keySetFor(r.Context(), src), Client: addressOf(httpapi.ClientIP(c)),
		ClientCertificate: func() (*x509.Certificate, error) {
			return httpapi.ClientCertificate(r, m.cfg.ClientCertHeader, m.cfg.TrustedProxies)
		},
	}, charged, nil
}

// addressOf is an address as a definition's networks are compared with it.
func addressOf(ip string) netip.Addr {
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.Addr{}
	}
	return address
}

// accepts reports whether the provider sends bodies of this content type. It ignores the
// charset: JSON is UTF-8, and an odd parameter is no reason to lose an event.
func accepts(spec provider.Spec, contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return false
	}
	return spec.Accepts(kind)
}

func wrongType(spec provider.Spec) error {
	if len(spec.ContentTypes) == 0 {
		return fault.UnsupportedMedia.New("not_json", "The content-type must be application/json.")
	}
	return fault.UnsupportedMedia.New("wrong_content_type", "The content-type must be application/json or %s.", strings.Join(spec.ContentTypes, " or "))
}

// isPacked reports whether a body is gzip.
func isPacked(h http.Header) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(strings.Join(h.Values(echo.HeaderContentEncoding), ","))) {
	case "", "identity":
		return false, nil
	case "gzip", "x-gzip":
		return true, nil
	}
	return false, fault.UnsupportedMedia.New("wrong_encoding", "The content-encoding must be gzip, or none.")
}

// The decompressed size that is free for a blocked address. It fits ordinary JSON, so that a
// refused request costs little more than its bytes.
const (
	freeUnpacked = 64 << 10
	freeRatio    = 16
)

// unpack decompresses the body. A few kilobytes may expand to megabytes that have to be
// hashed, so a blocked address has a budget per minute for bodies above the free size. The
// charge is refunded if the request is then verified.
func (m *Module) unpack(c echo.Context, packed []byte, limit int64) (body []byte, charged int64, err error) {
	free := min(limit, max(freeUnpacked, freeRatio*int64(len(packed))))
	address := httpapi.Network(httpapi.ClientIP(c))
	var wait time.Duration
	body, err = httpapi.Unpack(c, packed, func() int64 {
		if wait = m.blocked.unpackWait(address, m.d.Now()); wait > 0 {
			return free
		}
		return limit
	}, func(produced int64, err error) {
		if wait == 0 && produced > free && !fault.Is(err, fault.Unavailable) {
			charged = m.blocked.charge(address, produced, m.d.Now())
		}
	})
	if wait > 0 && free < limit && fault.Is(err, fault.TooLarge) {
		return nil, 0, m.failureLimited(wait)
	}
	return body, charged, err
}

func (m *Module) urlOf(r *http.Request) string {
	if m.cfg.PublicBaseURL != "" {
		return m.cfg.PublicBaseURL + r.URL.RequestURI()
	}
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	return scheme + r.Host + r.URL.RequestURI()
}
