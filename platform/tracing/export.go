package tracing

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"integration-gateway/platform/backoff"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/secret"
)

// Exporter says where spans are sent: by OTLP, as protobuf over HTTP.
// https://opentelemetry.io/docs/specs/otlp/#otlphttp
type Exporter struct {
	URL     string                  // with its path, such as http://127.0.0.1:4318/v1/traces
	Headers map[string]secret.Value // of each request
	Timeout time.Duration           // of one request
	Gzip    bool

	// Paths of PEM files; "" for the machine's authorities, and for no client certificate.
	Authorities, Certificate, Key string
}

// exporter sends spans. The library's own links gRPC into the program, which makes it larger by
// several megabytes; this one needs what is there already.
type exporter struct {
	cfg      Exporter
	resource []byte // encoded
	client   *http.Client
	log      *slog.Logger

	// ExportSpans is called by one goroutine.
	failing bool
	dropped int // since then
}

var _ sdk.SpanExporter = (*exporter)(nil)

// idleConnections: one request is under way at a time.
const idleConnections = 1

func newExporter(cfg Exporter, resource map[string]string, log *slog.Logger) (*exporter, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConns: idleConnections, IdleConnTimeout: time.Minute,
		TLSHandshakeTimeout: 5 * time.Second, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if cfg.Authorities != "" {
		text, err := os.ReadFile(cfg.Authorities)
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %w", errors.Unwrap(err)) // without the path
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, errors.New("OTEL_EXPORTER_OTLP_CERTIFICATE: the file contains no certificate; name a PEM file")
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	if cfg.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(cfg.Certificate, cfg.Key)
		if path := (*fs.PathError)(nil); errors.As(err, &path) {
			err = path.Err
		}
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: %w", err)
		}
		transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	client := &http.Client{Transport: transport, Timeout: cfg.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }} // the headers are for this server alone
	return &exporter{cfg: cfg, resource: encodeResource(resource), client: client, log: log.With("component", "traces")}, nil
}

// sendRetry are the waits between the tries of one request; the batch's deadline ends them.
var sendRetry = backoff.Exponential{Min: time.Second, Max: 10 * time.Second}

// ExportSpans sends spans until ctx ends, and drops them if that fails. It logs the first failure
// and the next success, and returns no error: nothing else changes while the collector is away.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	body, err := e.encode(spans)
	for attempt := 0; err == nil; attempt++ {
		var again bool
		var wait time.Duration
		if again, wait, err = e.send(ctx, body); err == nil || !again {
			break
		}
		if !clock.Sleep(ctx, max(wait, sendRetry.Wait(attempt))) {
			break
		}
		err = nil
	}
	switch {
	case err != nil && !e.failing:
		e.failing, e.dropped = true, len(spans)
		e.log.WarnContext(ctx, "sending spans failed; they are dropped until it works again, and nothing else changes", "error", err)
	case err != nil:
		e.dropped += len(spans)
	case e.failing:
		e.failing = false
		e.log.InfoContext(ctx, "sending spans works again", "dropped", e.dropped)
	}
	return nil
}

// encode returns the body of a request for spans.
func (e *exporter) encode(spans []sdk.ReadOnlySpan) ([]byte, error) {
	body := encodeRequest(e.resource, spans)
	if !e.cfg.Gzip {
		return body, nil
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(body); err != nil {
		return nil, fmt.Errorf("compress spans: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress spans: %w", err)
	}
	return packed.Bytes(), nil
}

// retryable are the statuses after which the specification has the request repeated.
var retryable = []int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// send makes one request. again says that it may be repeated, wait that the server wants a pause.
func (e *exporter) send(ctx context.Context, body []byte) (again bool, wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return false, 0, errors.New("the endpoint's URL is not well-formed") // the error would have it, with its password
	}
	for name, value := range e.cfg.Headers {
		req.Header.Set(name, value.Reveal())
	}
	req.Header.Set("User-Agent", scope)
	req.Header.Set("Content-Type", "application/x-protobuf")
	if e.cfg.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	res, err := e.client.Do(req)
	if err != nil {
		return true, 0, withoutURL(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case res.StatusCode/100 != 2:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After")) // a date is taken for none
		return slices.Contains(retryable, res.StatusCode), time.Duration(max(seconds, 0)) * time.Second, fmt.Errorf("the collector answered %d", res.StatusCode)
	case err != nil:
		return false, 0, nil //nolint:nilerr // it has taken the spans
	}
	if rejected := rejectedSpans(answer); rejected > 0 {
		return false, 0, fmt.Errorf("the collector refused %d spans", rejected)
	}
	return false, 0, nil
}

// withoutURL returns what went wrong without the URL, which may hold a secret.
func withoutURL(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// Shutdown closes the connection.
func (e *exporter) Shutdown(context.Context) error {
	e.client.CloseIdleConnections()
	return nil
}

// sorted returns the keys of a resource in a fixed order.
func sorted(of map[string]string) []string { return slices.Sorted(maps.Keys(of)) }
