// Package egress is the way out: the one HTTP client that talks to addresses which
// users of the gateway chose. It connects to public addresses only, besides those
// that the operator allows, and bounds in time and size whatever comes back. What a
// status means, and whether to try again, is the caller's business.
package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"
)

// The bounds that hold where Config leaves a zero.
const (
	defaultTimeout     = 60 * time.Second
	defaultDialTimeout = 5 * time.Second
	defaultTLSTimeout  = 5 * time.Second
	defaultBodyTimeout = 5 * time.Second
	defaultBodyBytes   = 16 << 10
	defaultIdlePerHost = 64
	maxHeaderBytes     = 64 << 10
	maxIdle            = 2048
	idleTimeout        = 60 * time.Second
	keepAlive          = 30 * time.Second
	// tail is how much is read beyond what is kept, so that the connection behind a body
	// that is a little too long can be used again.
	tail = 4 << 10
)

// Config is what an operator decides about deliveries. A zero takes the default.
type Config struct {
	Allow       Allow          // besides public addresses
	Deny        Deny           // whatever is allowed
	Proxy       *url.URL       // http or https, which connects for us; nil: none
	Timeout     time.Duration  // of a request whose context ends later; 60 s
	DialTimeout time.Duration  // resolving and connecting; 5 s
	TLSTimeout  time.Duration  // 5 s
	BodyTimeout time.Duration  // from the answer's header to its end; 5 s
	BodyBytes   int            // of an answer that are kept; 16 KiB
	IdlePerHost int            // connections kept open to one host; 64
	RootCAs     *x509.CertPool // nil: the machine's
}

// Response is what a server answered.
type Response struct {
	Status int
	Header http.Header
	Body   []byte // the first Config.BodyBytes of it, or what had come when time ran out
}

// Client sends requests. It is safe for concurrent use.
type Client struct {
	cfg       Config
	rules     rules
	transport *http.Transport
	own       *transports
	refused   [Denied + 1]atomic.Int64
}

// New makes a client; it connects to nothing.
func New(cfg Config) *Client {
	cfg.Timeout = or(cfg.Timeout, defaultTimeout)
	cfg.DialTimeout = or(cfg.DialTimeout, defaultDialTimeout)
	cfg.TLSTimeout = or(cfg.TLSTimeout, defaultTLSTimeout)
	cfg.BodyTimeout = or(cfg.BodyTimeout, defaultBodyTimeout)
	cfg.BodyBytes = or(cfg.BodyBytes, defaultBodyBytes)
	cfg.IdlePerHost = or(cfg.IdlePerHost, defaultIdlePerHost)
	c := &Client{cfg: cfg, rules: rules{cfg.Allow, cfg.Deny}, own: newTransports()}
	c.transport = c.newTransport()
	return c
}

func (c *Client) newTransport() *http.Transport {
	// One request, one connection: an HTTP/2 connection that hangs would take every
	// delivery to its host with it.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  nil, // the environment's proxy would connect for us, unchecked; ours is asked in dial
		DialContext:            c.dial,
		Protocols:              protocols,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.cfg.RootCAs},
		TLSHandshakeTimeout:    c.cfg.TLSTimeout,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    c.cfg.IdlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		DisableCompression:     true, // an answer of 16 KiB must not unpack to gigabytes
	}
}

func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

// Close ends the connections that nobody uses.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.own.close()
}

// Refused counts the requests that were refused since the start, by Refusal.
func (c *Client) Refused() map[Refusal]int64 {
	counts := map[Refusal]int64{}
	for r := range c.refused {
		if n := c.refused[r].Load(); n > 0 {
			counts[Refusal(r)] = n
		}
	}
	return counts
}

// Do sends req and reads the answer, all of it before req's context ends. own is the
// destination's TLS configuration, nil for the usual. Any answer
// with a status is a Response, also when its body breaks off or drips. Redirects are not
// followed. errors.As finds a Refusal when the address was not allowed, and errors.Is
// context.DeadlineExceeded when nothing came in time. No error names the URL, which may
// hold a credential.
func (c *Client) Do(req *http.Request, own *TLS) (Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), c.cfg.Timeout)
	defer cancel()
	req = req.Clone(ctx)
	// A kept connection that the server closed at that moment is no failed delivery:
	// net/http takes another one when the request may be repeated. Ours may, since
	// receivers know it by its webhook-id. A key without a value is not sent.
	req.Header["Idempotency-Key"] = nil
	// RoundTrip and not http.Client: no redirects, no cookies, no credentials from the URL.
	res, err := c.by(own).RoundTrip(req)
	if err != nil {
		var refusal Refusal
		if errors.As(err, &refusal) {
			c.refused[refusal].Add(1)
		}
		return Response{}, fmt.Errorf("send: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	// The status is all that a delivery needs; a body that drips gets no more than this.
	defer time.AfterFunc(c.cfg.BodyTimeout, cancel).Stop()
	// What was read before an error counts.
	body, err := io.ReadAll(io.LimitReader(res.Body, int64(c.cfg.BodyBytes)))
	if err == nil {
		_, _ = io.CopyN(io.Discard, res.Body, tail)
	}
	return Response{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}

// dial connects to addr, a host and port. The check sits where the connection is made:
// after the name was resolved, for each address that is tried, so that a name which
// resolves differently the second time gains nothing.
func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	refusal, named := c.rules.host(host)
	if refusal != 0 {
		return nil, refusal
	}
	if c.cfg.Proxy != nil {
		return c.tunnel(ctx, host, port, named)
	}
	dialer := net.Dialer{Timeout: c.cfg.DialTimeout, KeepAlive: keepAlive}
	dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		return c.control(address, named)
	}
	return dialer.DialContext(ctx, network, addr)
}

func (c *Client) control(address string, named bool) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return Unknown
	}
	if refusal, refused := c.rules.address(addr.Addr(), named); refused {
		return refusal
	}
	return nil
}
