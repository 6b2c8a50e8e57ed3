package egress

import (
	"net/netip"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzAddress: an address is checked by the IPv4 address embedded in it, in whatever form,
// and no form of a loopback or private address is allowed.
func FuzzAddress(f *testing.F) {
	for _, text := range []string{"127.0.0.1", "10.0.0.1", "8.8.8.8", "169.254.169.254", "100.64.0.1", "224.0.0.1", "0.0.0.0"} {
		raw := netip.MustParseAddr(text).As4()
		f.Add(raw[:])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < 4 {
			return
		}
		v4 := netip.AddrFrom4([4]byte(raw[:4]))
		want, refused := Allow{}.check(v4)
		if refused != (want != 0) || !refused && (v4.IsPrivate() || v4.IsLoopback() || v4.IsLinkLocalUnicast() || v4.IsMulticast() || v4.IsUnspecified()) {
			t.Fatalf("%s: %v", v4, want)
		}
		as6 := v4.As16()
		nat, sixToFour := nat64.Addr().As16(), [16]byte{0x20, 0x02}
		copy(nat[12:], raw[:4])
		copy(sixToFour[2:], raw[:4])
		for _, form := range [][16]byte{as6, nat, sixToFour} {
			got, _ := Allow{}.check(netip.AddrFrom16(form))
			require.Equal(t, want, got, "%s as %s", v4, netip.AddrFrom16(form))
		}
	})
}

// FuzzCheckURL: a valid destination URL names a host, has an http or https scheme, and
// contains no password.
func FuzzCheckURL(f *testing.F) {
	for _, text := range []string{"https://example.com/hook", "http://[::1]:1/", "https://u:p@example.com", "https://a\\@b", "https:///x", "//x", "https://x:0", "https://%31"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if CheckURL(text) != nil {
			return
		}
		u, err := url.Parse(text)
		require.NoError(t, err)
		require.Contains(t, []string{"http", "https"}, u.Scheme)
		require.NotEmpty(t, u.Hostname())
		require.Nil(t, u.User)
	})
}

// FuzzParseAllow: an entry is a network, a host or a mistake, never something in between.
func FuzzParseAllow(f *testing.F) {
	for _, text := range []string{"10.1.0.0/16", "::1", "sink.example", "*.example", "10.0.0.256", "fe80::1%eth0", "0x7f.1", "::ffff:10.0.0.0/104"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		allow, err := ParseAllow([]string{text})
		if err != nil {
			require.Empty(t, allow)
			return
		}
		require.LessOrEqual(t, len(allow.Networks)+len(allow.Hosts), 1)
	})
}
