package egress

import (
	"cmp"
	"net/netip"
)

// Refusal says why connecting to an address is not allowed. It is an error, which errors.As
// finds in the errors of Do.
type Refusal int

// The refusals. An address with several gets the first that applies.
const (
	Unknown       Refusal = iota + 1 // unreadable addresses are never allowed
	Metadata                         // of a cloud provider: gives credentials to any caller
	Loopback                         // this machine
	Unspecified                      // also this machine, on most systems
	Private                          // RFC 1918, RFC 4193, RFC 3879, RFC 8215
	LinkLocal                        // RFC 3927, RFC 4291
	SharedCarrier                    // RFC 6598, carrier-grade NAT
	Multicast                        // RFC 5771, RFC 4291
	Broadcast                        // RFC 919
	Benchmarking                     // RFC 2544, RFC 5180
	Documentation                    // RFC 5737, RFC 3849, RFC 9637
	Reserved                         // other addresses that the IANA registries do not route
	Denied                           // forbidden by the operator, by address or name
)

var refusalNames = map[Refusal]string{
	Unknown:       "unreadable address",
	Metadata:      "cloud metadata address",
	Loopback:      "loopback address",
	Unspecified:   "unspecified address",
	Private:       "private address",
	LinkLocal:     "link-local address",
	SharedCarrier: "carrier-grade NAT address",
	Multicast:     "multicast address",
	Broadcast:     "broadcast address",
	Benchmarking:  "benchmarking address",
	Documentation: "documentation address",
	Reserved:      "reserved address",
	Denied:        "denied",
}

// reasons are the stable identifiers of the refusals.
var reasons = map[Refusal]string{
	Unknown: "unreadable", Metadata: "metadata", Loopback: "loopback", Unspecified: "unspecified", Private: "private",
	LinkLocal: "link_local", SharedCarrier: "cgnat", Multicast: "multicast", Broadcast: "broadcast", Benchmarking: "benchmarking",
	Documentation: "documentation", Reserved: "reserved", Denied: "denied",
}

func (r Refusal) String() string { return refusalNames[r] }

// Reason returns the refusal's stable identifier.
func (r Refusal) Reason() string { return reasons[r] }

func (r Refusal) Error() string {
	if r == Denied {
		return "the destination is forbidden by EGRESS_DENY"
	}
	return "the destination is a " + r.String() + ", which EGRESS_ALLOW does not allow"
}

// The networks that are not public, from the IANA registries of special-purpose addresses
// (RFC 6890) for IPv4 and IPv6, and the cloud providers' documents about their metadata
// services. The first match decides.
var special = []struct {
	network netip.Prefix
	refusal Refusal
}{
	{netip.MustParsePrefix("169.254.169.254/32"), Metadata}, // AWS, Azure, Google and most others
	{netip.MustParsePrefix("169.254.170.2/32"), Metadata},   // AWS ECS tasks
	{netip.MustParsePrefix("169.254.170.23/32"), Metadata},  // AWS EKS pods
	{netip.MustParsePrefix("168.63.129.16/32"), Metadata},   // Azure's wire server, on a public address
	{netip.MustParsePrefix("100.100.100.200/32"), Metadata}, // Alibaba
	{netip.MustParsePrefix("192.0.0.192/32"), Metadata},     // Oracle
	{netip.MustParsePrefix("fd00:ec2::254/128"), Metadata},  // AWS over IPv6
	{netip.MustParsePrefix("fd00:ec2::23/128"), Metadata},   // AWS EKS pods over IPv6
	{netip.MustParsePrefix("fd20:ce::254/128"), Metadata},   // Google over IPv6

	{netip.MustParsePrefix("0.0.0.0/8"), Unspecified},
	{netip.MustParsePrefix("10.0.0.0/8"), Private},
	{netip.MustParsePrefix("100.64.0.0/10"), SharedCarrier},
	{netip.MustParsePrefix("127.0.0.0/8"), Loopback},
	{netip.MustParsePrefix("169.254.0.0/16"), LinkLocal},
	{netip.MustParsePrefix("172.16.0.0/12"), Private},
	{netip.MustParsePrefix("192.0.0.0/24"), Reserved}, // protocol assignments
	{netip.MustParsePrefix("192.0.2.0/24"), Documentation},
	{netip.MustParsePrefix("192.88.99.0/24"), Reserved}, // 6to4 relays, deprecated
	{netip.MustParsePrefix("192.168.0.0/16"), Private},
	{netip.MustParsePrefix("198.18.0.0/15"), Benchmarking},
	{netip.MustParsePrefix("198.51.100.0/24"), Documentation},
	{netip.MustParsePrefix("203.0.113.0/24"), Documentation},
	{netip.MustParsePrefix("224.0.0.0/4"), Multicast},
	{netip.MustParsePrefix("255.255.255.255/32"), Broadcast},
	{netip.MustParsePrefix("240.0.0.0/4"), Reserved},

	{netip.MustParsePrefix("::/128"), Unspecified},
	{netip.MustParsePrefix("::1/128"), Loopback},
	{netip.MustParsePrefix("64:ff9b:1::/48"), Private}, // local-use NAT64 prefix
	{netip.MustParsePrefix("fc00::/7"), Private},
	{netip.MustParsePrefix("fe80::/10"), LinkLocal},
	{netip.MustParsePrefix("fec0::/10"), Private}, // site-local, deprecated
	{netip.MustParsePrefix("ff00::/8"), Multicast},
	{netip.MustParsePrefix("2001:2::/48"), Benchmarking},
	{netip.MustParsePrefix("2001::/23"), Reserved}, // protocol assignments, including Teredo
	{netip.MustParsePrefix("2001:db8::/32"), Documentation},
	{netip.MustParsePrefix("3fff::/20"), Documentation},
}

var (
	compatible = netip.MustParsePrefix("::/96")        // RFC 4291 2.5.5.1
	nat64      = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixToFour  = netip.MustParsePrefix("2002::/16")    // RFC 3056
	unicast6   = netip.MustParsePrefix("2000::/3")     // all IPv6 addresses that IANA has allocated
)

// check reports whether addr may be connected to, and if not, why. An IPv6 address with an
// embedded IPv4 address is checked by that one.
func (a Allow) check(addr netip.Addr) (Refusal, bool) {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() {
		return Unknown, true
	}
	if a.network(addr) {
		return 0, false
	}
	for _, s := range special {
		if s.network.Contains(addr) {
			return s.refusal, true
		}
	}
	if addr.Is4() {
		return 0, false
	}
	switch v4, leads := embedded(addr); {
	case compatible.Contains(addr): // never routed, whatever it embeds
		refusal, _ := a.check(v4)
		return cmp.Or(refusal, Reserved), true
	case leads:
		return a.check(v4)
	case !unicast6.Contains(addr):
		return Reserved, true
	}
	return 0, false
}

// embedded returns the IPv4 address that an IPv6 address embeds.
func embedded(addr netip.Addr) (v4 netip.Addr, leads bool) {
	raw := addr.As16()
	switch {
	case !addr.Is6():
		return v4, false
	case compatible.Contains(addr), nat64.Contains(addr):
		return netip.AddrFrom4([4]byte(raw[12:16])), true
	case sixToFour.Contains(addr):
		return netip.AddrFrom4([4]byte(raw[2:6])), true
	}
	return v4, false
}
