package egress

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
)

// Resolve resolves the host of a destination's URL and checks it as a connection would,
// without making one. It returns the addresses that are allowed. A Refusal is in the error's
// chain if there are only others.
func (c *Client) Resolve(ctx context.Context, rawURL string) ([]netip.Addr, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, Unknown
	}
	refusal, named := c.rules.Load().host(u.Hostname())
	if refusal != 0 {
		return nil, refusal
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return nil, fail(ctx, fmt.Errorf("dial: %w", err), &progress{})
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
	if len(allowed) == 0 {
		return nil, cmp.Or(refused, Unknown)
	}
	return allowed, nil
}

// CheckProxy connects to the proxy, if there is one, and asks it for nothing.
func (c *Client) CheckProxy(ctx context.Context) error {
	if c.cfg.Proxy == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	conn, err := c.dialProxy(ctx)
	if err != nil {
		return &ProxyError{Err: withoutAddress(err)}
	}
	return conn.Close()
}
