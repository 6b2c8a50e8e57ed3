package egress

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// attemptKey is the context key of the request that a connection is made for. net/http's
// dial context does not end with the request, since another request may use the connection;
// a hostile server could then hold it.
type attemptKey struct{}

// attemptContext returns a context that ends with the request's time. A connection made
// before that may serve another request.
func attemptContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if attempt, ok := ctx.Value(attemptKey{}).(context.Context); ok {
		if deadline, ok := attempt.Deadline(); ok {
			return context.WithDeadline(ctx, deadline)
		}
	}
	return context.WithCancel(ctx)
}

// withLimit returns a context that ends within limit, and whether that is before ctx ends.
func withLimit(ctx context.Context, limit time.Duration) (_ context.Context, _ context.CancelFunc, sooner bool) {
	deadline, ok := ctx.Deadline()
	sooner = !ok || time.Until(deadline) > limit
	ctx, cancel := context.WithTimeout(ctx, limit)
	return ctx, cancel, sooner
}

func (c *Client) dialPlain(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := attemptContext(ctx)
	defer cancel()
	return c.dial(ctx, network, addr)
}

// dialTLS is dialPlain with TLS.
func (c *Client) dialTLS(ctx context.Context, network, addr string, cfg *tls.Config) (net.Conn, error) {
	ctx, cancel := attemptContext(ctx)
	defer cancel()
	conn, err := c.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	cfg = cfg.Clone()
	if cfg.ServerName, _, err = net.SplitHostPort(addr); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("dial: %w", err)
	}
	secured := tls.Client(conn, cfg)
	shaking, stop, sooner := withLimit(ctx, c.cfg.TLSTimeout)
	defer stop()
	if err := secured.HandshakeContext(shaking); err != nil {
		_ = conn.Close()
		if sooner && classify(err) == KindTimeout {
			return nil, &Failure{Kind: KindTimeout, text: "no TLS handshake within " + c.cfg.TLSTimeout.String(), cause: err}
		}
		return nil, err
	}
	return secured, nil
}

// dial connects to addr, a host and port. The address is checked when the connection is
// made, after the name was resolved and for each address tried, so a name that resolves
// differently the second time does not bypass the check.
func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	refusal, named := c.rules.Load().host(host)
	if refusal != 0 {
		return nil, refusal
	}
	if c.cfg.Proxy != nil {
		return c.tunnel(ctx, host, port, named)
	}
	connecting, cancel, sooner := withLimit(ctx, c.cfg.DialTimeout)
	defer cancel()
	dialer := net.Dialer{KeepAlive: keepAlive}
	dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		return c.control(address, named)
	}
	conn, err := dialer.DialContext(connecting, network, addr)
	if err != nil && sooner && classify(err) == KindTimeout {
		return nil, &Failure{Kind: KindTimeout, text: "no connection within " + c.cfg.DialTimeout.String(), cause: err}
	}
	return conn, err
}

func (c *Client) control(address string, named bool) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return Unknown
	}
	if refusal, refused := c.rules.Load().address(addr.Addr(), named); refused {
		return refusal
	}
	return nil
}
