package egress

import (
	"net/netip"
	"net/url"
	"strings"
)

// Refuses returns the Refusal of a destination's URL that can be determined before its name
// is resolved: for a literal address, for localhost, and for a denied name. 0 means that
// the address is checked when a connection is made.
func (c *Client) Refuses(rawURL string) Refusal {
	u, err := url.Parse(rawURL)
	if err != nil {
		return Unknown
	}
	return c.rules.Load().literal(u.Hostname())
}

var loopbacks = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

func (r rules) literal(host string) Refusal {
	if addr, err := netip.ParseAddr(host); err == nil {
		refusal, _ := r.address(addr.Unmap(), false)
		return refusal
	}
	refusal, named := r.host(host)
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	switch {
	case refusal != 0:
		return refusal
	case named:
		return 0
	case name == "localhost" || strings.HasSuffix(name, ".localhost"): // RFC 6761, 6.3
		for _, addr := range loopbacks {
			if _, no := r.address(addr, false); !no {
				return 0
			}
		}
		return Loopback
	case numeric(name):
		return Unknown
	}
	return 0
}

// numeric reports whether a name is an address in a form that resolvers read in different
// ways, such as 127.1 or 0x7f000001: its last label is a number.
func numeric(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x")
}
