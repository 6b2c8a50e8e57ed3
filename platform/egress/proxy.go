package egress

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// maxTunnels is how many of a name's addresses are tried through the proxy.
const maxTunnels = 3

// ProxyError says why Config.Proxy did not connect. It contains neither the proxy's address
// nor its credentials.
type ProxyError struct {
	Status int   // its response; 0 if it could not be reached
	Err    error // why it could not be reached
}

func (e *ProxyError) Error() string {
	if e.Status != 0 {
		return "the egress proxy answered HTTP " + strconv.Itoa(e.Status)
	}
	return "the egress proxy is unreachable: " + e.Err.Error()
}

func (e *ProxyError) Unwrap() error { return e.Err }

// tunnel connects through the proxy. The name is resolved and the address checked here, and
// the proxy connects to exactly that address, so the rules apply whatever the proxy would
// resolve the name to. TLS with the destination runs inside the tunnel.
func (c *Client) tunnel(ctx context.Context, host, port string, named bool) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	var refused Refusal
	var allowed []netip.Addr
	for _, addr := range addrs {
		if refusal, no := c.rules.Load().address(addr.Unmap(), named); no {
			refused = cmp.Or(refused, refusal)
			continue
		}
		allowed = append(allowed, addr.Unmap())
	}
	allowed = alternate(allowed)
	allowed = allowed[:min(len(allowed), maxTunnels)]
	var failed error
	deadline, _ := ctx.Deadline()
	for i, addr := range allowed {
		conn, err := c.requestTunnelWithin(ctx, time.Until(deadline)/time.Duration(len(allowed)-i), addr, port)
		if err == nil {
			return conn, nil
		}
		failed = err
	}
	switch {
	case failed != nil:
		return nil, failed
	case refused != 0:
		return nil, refused
	}
	return nil, Unknown
}

// alternate orders addresses of both families alternately, so that an unreachable family
// does not use up all tries (RFC 8305, section 4).
func alternate(addrs []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr // the first address's family, and the other
	for _, a := range addrs {
		other := 0
		if a.Is4() != addrs[0].Is4() {
			other = 1
		}
		families[other] = append(families[other], a)
	}
	list := make([]netip.Addr, 0, len(addrs))
	for i := range addrs {
		for _, family := range families {
			if i < len(family) {
				list = append(list, family[i])
			}
		}
	}
	return list
}

// requestTunnelWithin is requestTunnel with a part of the remaining time.
func (c *Client) requestTunnelWithin(ctx context.Context, part time.Duration, addr netip.Addr, port string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, part)
	defer cancel()
	return c.requestTunnel(ctx, addr, port)
}

// requestTunnel makes the proxy connect to one address (RFC 9110, 9.3.6).
func (c *Client) requestTunnel(ctx context.Context, addr netip.Addr, port string) (net.Conn, error) {
	conn, err := c.dialProxy(ctx)
	if err != nil {
		return nil, &ProxyError{Err: withoutAddress(err)}
	}
	deadline, _ := ctx.Deadline() // tunnel sets one
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = errors.Join(conn.SetDeadline(deadline), sendConnect(conn, net.JoinHostPort(addr.String(), port), c.cfg.Proxy.User))
	if stop() && err == nil {
		err = conn.SetDeadline(time.Time{})
	} else if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = conn.Close()
		var answered *ProxyError
		if errors.As(err, &answered) {
			return nil, answered
		}
		return nil, &ProxyError{Err: withoutAddress(err)}
	}
	return conn, nil
}

// dialProxy connects to the proxy. The operator chose it, so no rule applies.
func (c *Client) dialProxy(ctx context.Context) (net.Conn, error) {
	u := c.cfg.Proxy
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	dialer := net.Dialer{KeepAlive: keepAlive}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil || u.Scheme != "https" {
		return conn, err
	}
	secured := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname(), RootCAs: c.cfg.RootCAs})
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

func sendConnect(conn net.Conn, to string, user *url.Userinfo) error {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: to}, Host: to, Header: http.Header{}}
	if user != nil {
		password, _ := user.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	answer := bufio.NewReader(io.LimitReader(conn, maxHeaderBytes))
	res, err := http.ReadResponse(answer, req)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	switch {
	case res.StatusCode != http.StatusOK:
		return &ProxyError{Status: res.StatusCode}
	case answer.Buffered() > 0:
		return errors.New("it sent data before the destination was contacted")
	}
	return nil
}

// withoutAddress returns a connection's error without its address.
func withoutAddress(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return errors.New("its name cannot be resolved")
	}
	return err
}
