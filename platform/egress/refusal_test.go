package egress

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

const public Refusal = 0

// judged are addresses on both sides of every boundary; TestBothSidesOfEveryBoundaryAreTested
// verifies that they are complete.
var judged = []struct {
	name  string
	addrs map[string]Refusal
}{
	{"0.0.0.0/8", map[string]Refusal{"0.0.0.0": Unspecified, "0.255.255.255": Unspecified, "1.0.0.0": public}},
	{"10.0.0.0/8", map[string]Refusal{"9.255.255.255": public, "10.0.0.0": Private, "10.255.255.255": Private, "11.0.0.0": public}},
	{"100.64.0.0/10", map[string]Refusal{"100.63.255.255": public, "100.64.0.0": SharedCarrier, "100.127.255.255": SharedCarrier, "100.128.0.0": public}},
	{"127.0.0.0/8", map[string]Refusal{"126.255.255.255": public, "127.0.0.0": Loopback, "127.0.0.1": Loopback, "127.255.255.255": Loopback, "128.0.0.0": public}},
	{"169.254.0.0/16", map[string]Refusal{"169.253.255.255": public, "169.254.0.0": LinkLocal, "169.254.255.255": LinkLocal, "169.255.0.0": public}},
	{"metadata", map[string]Refusal{
		"169.254.169.253": LinkLocal, "169.254.169.254": Metadata, "169.254.169.255": LinkLocal, "169.254.170.2": Metadata, "169.254.170.23": Metadata,
		"168.63.129.15": public, "168.63.129.16": Metadata, "168.63.129.17": public,
		"100.100.100.199": SharedCarrier, "100.100.100.200": Metadata, "192.0.0.192": Metadata,
		"fd00:ec2::253": Private, "fd00:ec2::254": Metadata, "fd00:ec2::23": Metadata, "fd20:ce::254": Metadata,
	}},
	{"172.16.0.0/12", map[string]Refusal{"172.15.255.255": public, "172.16.0.0": Private, "172.31.255.255": Private, "172.32.0.0": public}},
	{"192.0.0.0/24", map[string]Refusal{"191.255.255.255": public, "192.0.0.0": Reserved, "192.0.0.255": Reserved, "192.0.1.0": public}},
	{"192.0.2.0/24", map[string]Refusal{"192.0.1.255": public, "192.0.2.0": Documentation, "192.0.2.255": Documentation, "192.0.3.0": public}},
	{"192.88.99.0/24", map[string]Refusal{"192.88.98.255": public, "192.88.99.0": Reserved, "192.88.99.255": Reserved, "192.88.100.0": public}},
	{"192.168.0.0/16", map[string]Refusal{"192.167.255.255": public, "192.168.0.0": Private, "192.168.255.255": Private, "192.169.0.0": public}},
	{"198.18.0.0/15", map[string]Refusal{"198.17.255.255": public, "198.18.0.0": Benchmarking, "198.19.255.255": Benchmarking, "198.20.0.0": public}},
	{"198.51.100.0/24", map[string]Refusal{"198.51.99.255": public, "198.51.100.0": Documentation, "198.51.100.255": Documentation, "198.51.101.0": public}},
	{"203.0.113.0/24", map[string]Refusal{"203.0.112.255": public, "203.0.113.0": Documentation, "203.0.113.255": Documentation, "203.0.114.0": public}},
	{"224.0.0.0/4 and 240.0.0.0/4", map[string]Refusal{"223.255.255.255": public, "224.0.0.0": Multicast, "239.255.255.255": Multicast,
		"240.0.0.0": Reserved, "255.255.255.254": Reserved, "255.255.255.255": Broadcast}},

	{"IPv6 beside ::", map[string]Refusal{"::": Unspecified, "::1": Loopback, "::2": Unspecified}},
	{"what IANA has allocated", map[string]Refusal{"1fff:ffff::": Reserved, "2000::": public, "2606:4700::1111": public, "3ffe::": public, "4000::": Reserved}},
	{"2001::/23", map[string]Refusal{"2000:ffff::": public, "2001::": Reserved, "2001:1ff:ffff::": Reserved, "2001:200::": public}},
	{"2001:2::/48", map[string]Refusal{"2001:1:ffff::": Reserved, "2001:2::": Benchmarking, "2001:2:0:ffff::": Benchmarking, "2001:2:1::": Reserved}},
	{"2001:db8::/32", map[string]Refusal{"2001:db7:ffff::": public, "2001:db8::": Documentation, "2001:db8:ffff::": Documentation, "2001:db9::": public}},
	{"3fff::/20", map[string]Refusal{"3ffe:ffff::": public, "3fff::": Documentation, "3fff:fff::": Documentation, "3fff:1000::": public}},
	{"fc00::/7", map[string]Refusal{"fbff:ffff::": Reserved, "fc00::": Private, "fdff:ffff::": Private, "fe00::": Reserved}},
	{"fe80::/10", map[string]Refusal{"fe7f:ffff::": Reserved, "fe80::": LinkLocal, "febf:ffff::": LinkLocal, "fec0::": Private, "feff:ffff::": Private}},
	{"with a zone", map[string]Refusal{"fe80::1%eth0": LinkLocal, "2606:4700::1111%eth0": public}},
	{"ff00::/8", map[string]Refusal{"ff00::": Multicast, "ffff:ffff::": Multicast}},
	{"discard only, SRv6", map[string]Refusal{"100::1": Reserved, "5f00::1": Reserved}},

	{"IPv4-mapped", map[string]Refusal{"::ffff:8.8.8.8": public, "::ffff:127.0.0.1": Loopback, "::ffff:10.0.0.1": Private, "::ffff:169.254.169.254": Metadata}},
	{"IPv4-compatible is never routed", map[string]Refusal{"::8.8.8.8": Reserved, "::127.0.0.1": Loopback, "::10.0.0.1": Private}},
	{"NAT64", map[string]Refusal{"64:ff9b::8.8.8.8": public, "64:ff9b::127.0.0.1": Loopback, "64:ff9b::169.254.169.254": Metadata,
		"64:ff9b::1:8.8.8.8": Reserved, "64:ff9b:1::8.8.8.8": Private, "64:ff9b:2::": Reserved}},
	{"IPv4-translated", map[string]Refusal{"::ffff:0:8.8.8.8": Reserved, "::ffff:0:127.0.0.1": Reserved}},
	{"6to4", map[string]Refusal{"2002:808:808::1": public, "2002:7f00:1::1": Loopback, "2002:a00:1::1": Private, "2002:a9fe:a9fe::1": Metadata, "2003::": public}},
	{"Teredo", map[string]Refusal{"2001:0:808:808::": Reserved}},
	{"IPv6 with embedded IPv4, to the last address", map[string]Refusal{
		"::ffff:ffff": Broadcast, "::1:0:0": Reserved, "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff": Reserved,
		"64:ff9b::": Unspecified, "64:ff9b::ffff:ffff": Broadcast, "64:ff9b::1:0:0": Reserved,
		"64:ff9b:0:ffff:ffff:ffff:ffff:ffff": Reserved, "64:ff9b:1::": Private, "64:ff9b:1:ffff:ffff:ffff:ffff:ffff": Private,
		"2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff": public, "2002::": Unspecified, "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff": Broadcast,
	}},
	{"the neighbours of metadata addresses", map[string]Refusal{
		"169.254.170.1": LinkLocal, "169.254.170.3": LinkLocal, "169.254.170.22": LinkLocal,
		"169.254.170.24": LinkLocal, "100.100.100.201": SharedCarrier, "192.0.0.191": Reserved,
		"192.0.0.193": Reserved, "fd00:ec2::255": Private, "fd00:ec2::22": Private,
		"fd00:ec2::24": Private, "fd20:ce::253": Private, "fd20:ce::255": Private,
	}},
	{"IPv6, to the last address", map[string]Refusal{
		"1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": Reserved, "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": public, "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": Reserved,
		"fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": Private, "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff": Reserved, "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff": LinkLocal,
		"feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": Private, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": Multicast, "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff": public,
		"2001:1:ffff:ffff:ffff:ffff:ffff:ffff": Reserved, "2001:2:0:ffff:ffff:ffff:ffff:ffff": Benchmarking, "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff": Reserved,
		"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff": public, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff": Documentation, "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff": public,
		"3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff": Documentation,
	}},
}

func TestAddressesAreClassified(t *testing.T) {
	for _, c := range judged {
		t.Run(c.name, func(t *testing.T) {
			for text, want := range c.addrs {
				got, refused := Allow{}.check(netip.MustParseAddr(text))
				require.Equal(t, want, got, text)
				require.Equal(t, want != public, refused, text)
			}
		})
	}
	_, refused := Allow{}.check(netip.Addr{})
	require.True(t, refused, "no address")
}

func TestAllowedAddressesAreAccepted(t *testing.T) {
	allow, err := ParseAllow([]string{"10.1.0.0/16", "127.0.0.1", "fd00:1::/32", "169.254.169.254"})
	require.NoError(t, err)
	for text, want := range map[string]Refusal{
		"10.0.255.255": Private, "10.1.0.0": public, "10.1.255.255": public, "10.2.0.0": Private,
		"127.0.0.0": Loopback, "127.0.0.1": public, "127.0.0.2": Loopback,
		"fd00:0:ffff::": Private, "fd00:1::": public, "fd00:2::": Private,
		"169.254.169.253": LinkLocal, "169.254.169.254": public,
		"::ffff:10.1.0.1": public, "::ffff:10.2.0.1": Private,
		"64:ff9b::10.1.0.1": public, "2002:a01:1::": public, "2002:a02:1::": Private,
		"::10.1.0.1": Reserved,
	} {
		got, refused := allow.check(netip.MustParseAddr(text))
		require.Equal(t, want, got, text)
		require.Equal(t, want != public, refused, text)
	}
}

func TestEveryRefusalHasAName(t *testing.T) {
	seen := map[string]bool{}
	for r := Unknown; r <= Denied; r++ {
		require.NotEmpty(t, r.Reason())
		require.False(t, seen[r.Reason()], r.Reason())
		seen[r.Reason()] = true
		require.NotEmpty(t, r.String())
		if r == Denied {
			require.Contains(t, r.Error(), "EGRESS_DENY")
			continue
		}
		require.Contains(t, r.Error(), r.String())
	}
	for _, s := range special {
		require.Equal(t, s.network.Masked(), s.network)
	}
}

// lastOf returns the last address of a network.
func lastOf(n netip.Prefix) netip.Addr {
	raw := n.Addr().AsSlice()
	for bit := n.Bits(); bit < len(raw)*8; bit++ {
		raw[bit/8] |= 1 << (7 - bit%8)
	}
	last, _ := netip.AddrFromSlice(raw)
	return last
}

func TestBothSidesOfEveryBoundaryAreTested(t *testing.T) {
	known := map[netip.Addr]bool{}
	for _, c := range judged {
		for text := range c.addrs {
			known[netip.MustParseAddr(text)] = true
		}
	}
	ranges := []netip.Prefix{compatible, nat64, sixToFour, unicast6}
	for _, s := range special {
		ranges = append(ranges, s.network)
	}
	for _, n := range ranges {
		first, last := n.Masked().Addr(), lastOf(n)
		for _, addr := range []netip.Addr{first.Prev(), first, last, last.Next()} {
			if addr.IsValid() {
				require.True(t, known[addr], "%s has a boundary at %s, which the table lacks", n, addr)
			}
		}
	}
}

// Every boundary of IPv4 is one in each form that IPv6 has for it.
func TestIPv4WithinIPv6IsCheckedAtEveryBoundary(t *testing.T) {
	tried := 0
	for _, c := range judged {
		for text, want := range c.addrs {
			v4 := netip.MustParseAddr(text)
			if !v4.Is4() {
				continue
			}
			tried++
			raw, mapped := v4.As4(), v4.As16()
			nat, six, old := nat64.Addr().As16(), sixToFour.Addr().As16(), [16]byte{}
			copy(nat[12:], raw[:])
			copy(six[2:], raw[:])
			copy(old[12:], raw[:])
			for _, form := range [][16]byte{mapped, nat, six} {
				got, _ := Allow{}.check(netip.AddrFrom16(form))
				require.Equal(t, want, got, "%s as %s", text, netip.AddrFrom16(form))
			}
			_, refused := Allow{}.check(netip.AddrFrom16(old))
			require.True(t, refused, "%s as %s", text, netip.AddrFrom16(old))
		}
	}
	require.Greater(t, tried, 50)
}
