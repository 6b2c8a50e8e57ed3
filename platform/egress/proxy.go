package egress

import (
	"bufio"
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

// maxTunnels is how many of a name's addresses the proxy is asked for.
const maxTunnels = 3

// ProxyError says why Config.Proxy did not connect. It holds neither its address nor its
// credentials.
type ProxyError struct {
	Status int   // what it answered; 0 when it could not be asked
	Err    error // why not
}

func (e *ProxyError) Error() string {
	if e.Status != 0 {
		return "the egress proxy answered HTTP " + strconv.Itoa(e.Status)
	}
	return "the egress proxy cannot be asked: " + e.Err.Error()
}

func (e *ProxyError) Unwrap() error { return e.Err }

// tunnel connects through the proxy. The name is resolved and the address judged here, and
// the proxy is asked for just that address, so that the rules hold whatever it would
// resolve the name to. TLS is spoken with the destination, inside.
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
		if refusal, no := c.rules.address(addr.Unmap(), named); no {
			refused = or(refused, refusal)
			continue
		}
		allowed = append(allowed, addr.Unmap())
	}
	allowed = alternate(allowed)
	allowed = allowed[:min(len(allowed), maxTunnels)]
	var failed error
	deadline, _ := ctx.Deadline()
	for i, addr := range allowed {
		conn, err := c.askWithin(ctx, time.Until(deadline)/time.Duration(len(allowed)-i), addr, port)
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

// alternate takes addresses of both families in turn, so that one family that leads nowhere
// leaves the other its try (RFC 8305, section 4).
func alternate(addrs []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr // that of the first address, and the other
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

// askWithin is ask with a part of the time that there is.
func (c *Client) askWithin(ctx context.Context, part time.Duration, addr netip.Addr, port string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, part)
	defer cancel()
	return c.ask(ctx, addr, port)
}

// ask has the proxy connect to one address (RFC 9110, 9.3.6).
func (c *Client) ask(ctx context.Context, addr netip.Addr, port string) (net.Conn, error) {
	conn, err := c.toProxy(ctx)
	if err != nil {
		return nil, &ProxyError{Err: withoutAddress(err)}
	}
	deadline, _ := ctx.Deadline() // tunnel sets one
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = errors.Join(conn.SetDeadline(deadline), connect(conn, net.JoinHostPort(addr.String(), port), c.cfg.Proxy.User))
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

// toProxy connects to the proxy, which the operator chose and no rule is asked about.
func (c *Client) toProxy(ctx context.Context) (net.Conn, error) {
	u := c.cfg.Proxy
	port := or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
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

func connect(conn net.Conn, to string, user *url.Userinfo) error {
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
		return errors.New("it spoke before the destination was asked anything")
	}
	return nil
}

// withoutAddress is what went wrong with a connection, without where it led.
func withoutAddress(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return errors.New("its name does not resolve")
	}
	return err
}
