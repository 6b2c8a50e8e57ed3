package ingestion

import (
	"compress/gzip"
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// read takes the request as the verifier needs it: the exact bytes, within bounds. A
// gzip body is unpacked first: no provider that is built in signs the packed bytes, and
// a content-encoding belongs to the transfer of what was signed.
func (m *Module) read(c echo.Context, src *source) (provider.Request, error) {
	r, at := c.Request(), m.d.Now()
	if !accepts(src.spec, r.Header.Get(echo.HeaderContentType)) {
		return provider.Request{}, wrongType(src.spec)
	}
	limit := m.cfg.MaxBodyBytes
	if src.maxBodyBytes != nil {
		limit = *src.maxBodyBytes
	}
	header, err := unpack(c, limit)
	if err != nil {
		return provider.Request{}, err
	}
	body, err := httpapi.ReadBody(c, limit)
	if err != nil {
		return provider.Request{}, err
	}
	return provider.Request{
		Method: r.Method, URL: m.urlOf(r), Header: header, Body: body, ReceivedAt: at, Certificate: m.certificates.of(r.Context()),
	}, nil
}

// accepts takes the types of bodies that the provider sends, whatever charset is said:
// JSON is UTF-8, and a provider's parameter is no reason to lose an event.
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

// unpack makes the request's body what it was before it was packed, and gives its header
// without the encoding. Neither the packed nor the unpacked body may be beyond limit.
func unpack(c echo.Context, limit int64) (http.Header, error) {
	r := c.Request()
	switch encoding := strings.ToLower(strings.TrimSpace(strings.Join(r.Header.Values(echo.HeaderContentEncoding), ","))); encoding {
	case "", "identity":
		return r.Header, nil
	case "gzip", "x-gzip":
	default:
		return nil, fault.UnsupportedMedia.New("wrong_encoding", "The content-encoding must be gzip, or none.")
	}
	packed := http.MaxBytesReader(nil, r.Body, limit)
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		return nil, fault.Invalid.Wrap(err, "malformed_gzip", "The body is not the gzip that its content-encoding says.").At("body")
	}
	r.Body, r.ContentLength = gzipBody{unpacked, packed.Close}, -1
	header := r.Header.Clone()
	header.Del(echo.HeaderContentEncoding)
	header.Del(echo.HeaderContentLength)
	return header, nil
}

// gzipBody reads what is unpacked and closes what is packed.
type gzipBody struct {
	*gzip.Reader
	close func() error
}

// Close closes the request's own body.
func (b gzipBody) Close() error { return b.close() }

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
