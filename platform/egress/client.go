// Package egress is the HTTP client for addresses that users of the gateway chose. It
// connects only to public addresses and those that the operator allows, and limits the
// duration and the size of every response. The meaning of a status, and whether to retry,
// is the caller's business.
package egress

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// The defaults for zero fields of Config.
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
	// drainBytes is how much is read in excess of what is kept, so that the connection can
	// be reused if the body is a little too long.
	drainBytes = 4 << 10
)

// Config holds the operator's settings for deliveries. A zero means the default.
type Config struct {
	Allow       Allow          // in addition to public addresses
	Deny        Deny           // overrides Allow
	Proxy       *url.URL       // http or https proxy; nil: none
	Timeout     time.Duration  // of a request whose context ends later; 60 s
	DialTimeout time.Duration  // resolving and connecting; 5 s
	TLSTimeout  time.Duration  // 5 s
	BodyTimeout time.Duration  // from the response's header to its end; 5 s
	BodyBytes   int            // kept of a response; 16 KiB
	IdlePerHost int            // connections kept open to one host; 64
	RootCAs     *x509.CertPool // nil: the machine's
}

// Response is a server's response.
type Response struct {
	Status int
	Header http.Header
	Body   []byte // its first Config.BodyBytes, or what had arrived at the timeout
}

// Client sends requests. It is safe for concurrent use.
type Client struct {
	cfg        Config
	rules      atomic.Pointer[rules]
	transport  *http.Transport
	transports *transportCache
	refused    [Denied + 1]atomic.Int64
}

// New makes a client without connecting.
func New(cfg Config) *Client {
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	cfg.DialTimeout = cmp.Or(cfg.DialTimeout, defaultDialTimeout)
	cfg.TLSTimeout = cmp.Or(cfg.TLSTimeout, defaultTLSTimeout)
	cfg.BodyTimeout = cmp.Or(cfg.BodyTimeout, defaultBodyTimeout)
	cfg.BodyBytes = cmp.Or(cfg.BodyBytes, defaultBodyBytes)
	cfg.IdlePerHost = cmp.Or(cfg.IdlePerHost, defaultIdlePerHost)
	c := &Client{cfg: cfg, transports: newTransportCache()}
	c.SetRules(cfg.Allow, cfg.Deny)
	c.transport = c.newTransport()
	return c
}

// SetRules changes the allowed and denied addresses. Idle connections are closed, since
// they were made under the previous rules.
func (c *Client) SetRules(allow Allow, deny Deny) {
	c.rules.Store(&rules{allow, deny})
	if c.transport != nil {
		c.transport.CloseIdleConnections()
		c.transports.closeIdle()
	}
}

func (c *Client) newTransport() *http.Transport {
	// One request per connection: a hanging HTTP/2 connection would block all deliveries to
	// its host.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	t := &http.Transport{
		Proxy:                  nil, // the environment's proxy would connect unchecked; ours is used in dial
		DialContext:            c.dialPlain,
		Protocols:              protocols,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.cfg.RootCAs},
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    c.cfg.IdlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		DisableCompression:     true, // a response of 16 KiB must not decompress to gigabytes
	}
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return c.dialTLS(ctx, network, addr, t.TLSClientConfig)
	}
	return t
}

// Close closes idle connections.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.transports.close()
}

// Refused returns the number of refused requests since the start, by Refusal.
func (c *Client) Refused() map[Refusal]int64 {
	counts := map[Refusal]int64{}
	for r := range c.refused {
		if n := c.refused[r].Load(); n > 0 {
			counts[Refusal(r)] = n
		}
	}
	return counts
}

// Do sends req and reads the response before req's context ends. own is the destination's
// TLS configuration, nil for the default. Any response with a status is a Response, even if
// its body is incomplete. Redirects are not followed. An error is a *Failure. errors.As
// finds a Refusal in it if the address was not allowed, and errors.Is finds
// context.DeadlineExceeded after a timeout. No error contains the URL, which may hold a
// credential. Nothing of the request outlives req's context, including a connection in
// progress.
func (c *Client) Do(req *http.Request, own *TLS) (Response, error) {
	return c.do(req, own, c.cfg.BodyBytes)
}

// Read is Do for a page that is longer than most responses: it keeps limit bytes of it.
func (c *Client) Read(req *http.Request, limit int) (Response, error) { return c.do(req, nil, limit) }

func (c *Client) do(req *http.Request, own *TLS, limit int) (Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), c.cfg.Timeout)
	defer cancel()
	at := &progress{}
	req = req.Clone(at.trace(context.WithValue(ctx, attemptKey{}, ctx)))
	// If the server closed an idle connection in that moment, the delivery has not failed:
	// net/http uses another one if the request may be repeated. Ours may, since receivers
	// recognise it by its webhook-id. A key without a value is not sent.
	req.Header["Idempotency-Key"] = nil
	// RoundTrip instead of http.Client: no redirects, no cookies, no credentials from the URL.
	res, err := c.transportFor(own).RoundTrip(req)
	if err != nil {
		var refusal Refusal
		if errors.As(err, &refusal) {
			c.refused[refusal].Add(1)
		}
		return Response{}, fail(ctx, err, at)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusSwitchingProtocols { // its body would be the connection, which has no time limit
		return Response{}, fail(ctx, errSwitches, at)
	}
	// A delivery only needs the status; a slow body gets no more time than this.
	defer time.AfterFunc(c.cfg.BodyTimeout, cancel).Stop()
	// What was read before an error is kept.
	body, err := io.ReadAll(io.LimitReader(res.Body, int64(limit)))
	if err == nil {
		_, _ = io.CopyN(io.Discard, res.Body, drainBytes)
	}
	return Response{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}
