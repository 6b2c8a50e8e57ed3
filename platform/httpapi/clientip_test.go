package httpapi_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/httpapi"
)

func TestClientIP(t *testing.T) {
	trusted := []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.1.1/32"), netip.MustParsePrefix("fd00::/8"),
	}
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"the peer without forwarding", "203.0.113.7:1234", nil, "203.0.113.7"},
		{"the peer, whatever its header says", "203.0.113.7:1234", []string{"1.2.3.4"}, "203.0.113.7"},
		{"a trusted proxy that says nothing", "10.0.0.1:80", nil, "10.0.0.1"},
		{"the client of a trusted proxy", "10.0.0.1:80", []string{"1.2.3.4"}, "1.2.3.4"},
		{"just inside a trusted network", "10.255.255.255:80", []string{"1.2.3.4"}, "1.2.3.4"},
		{"just outside of one", "11.0.0.0:80", []string{"1.2.3.4"}, "11.0.0.0"},
		{"the client's own entries are ignored", "10.0.0.1:80", []string{"9.9.9.9, 1.2.3.4"}, "1.2.3.4"},
		{"through two trusted proxies", "10.0.0.1:80", []string{"9.9.9.9, 1.2.3.4, 192.168.1.1"}, "1.2.3.4"},
		{"a made up trusted address at the left", "10.0.0.1:80", []string{"10.9.9.9, 1.2.3.4"}, "1.2.3.4"},
		{"trusted proxies alone: the farthest", "10.0.0.1:80", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"several headers are one list", "10.0.0.1:80", []string{"9.9.9.9", "1.2.3.4, 10.0.0.2"}, "1.2.3.4"},
		{"several headers, the last one all trusted", "10.0.0.1:80", []string{"9.9.9.9, 1.2.3.4", "10.0.0.3, 10.0.0.2"}, "1.2.3.4"},
		{"unknown stops the walk", "10.0.0.1:80", []string{"1.2.3.4, unknown"}, "10.0.0.1"},
		{"unknown alone", "10.0.0.1:80", []string{"unknown"}, "10.0.0.1"},
		{"unknown before a valid entry", "10.0.0.1:80", []string{"unknown, 10.0.0.2"}, "10.0.0.2"},
		{"unknown before the client", "10.0.0.1:80", []string{"unknown, 1.2.3.4"}, "1.2.3.4"},
		{"garbage", "10.0.0.1:80", []string{"<script>, 300.1.1.1"}, "10.0.0.1"},
		{"an empty header", "10.0.0.1:80", []string{""}, "10.0.0.1"},
		{"an empty entry", "10.0.0.1:80", []string{"1.2.3.4, , 10.0.0.2"}, "10.0.0.2"},
		{"a final comma", "10.0.0.1:80", []string{"1.2.3.4,"}, "10.0.0.1"},
		{"with a port", "10.0.0.1:80", []string{"1.2.3.4:5555"}, "1.2.3.4"},
		{"with an invalid port", "10.0.0.1:80", []string{"1.2.3.4:99999"}, "10.0.0.1"},
		{"IPv6", "10.0.0.1:80", []string{"2001:db8::1"}, "2001:db8::1"},
		{"IPv6 in brackets with a port", "10.0.0.1:80", []string{"[::1]:80"}, "::1"},
		{"IPv6 in brackets", "10.0.0.1:80", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"IPv6 in another spelling", "10.0.0.1:80", []string{"2001:DB8:0:0::1"}, "2001:db8::1"},
		{"a zone means nothing here", "10.0.0.1:80", []string{"fe80::1%eth0"}, "fe80::1"},
		{"IPv4 in IPv6 is IPv4", "10.0.0.1:80", []string{"::ffff:1.2.3.4"}, "1.2.3.4"},
		{"and is trusted as such", "10.0.0.1:80", []string{"1.2.3.4, ::ffff:10.0.0.2"}, "1.2.3.4"},
		{"a peer that is IPv4 in IPv6", "[::ffff:10.0.0.1]:80", []string{"1.2.3.4"}, "1.2.3.4"},
		{"a trusted peer over IPv6 with a zone", "[fd00::1%eth0]:80", []string{"1.2.3.4"}, "1.2.3.4"},
		{"a peer without an address", "@", []string{"1.2.3.4"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := get("/api/v1/open")
			r.RemoteAddr = c.peer
			for _, f := range c.forwarded {
				r.Header.Add("X-Forwarded-For", f)
			}
			r.Header.Set("X-Real-Ip", "6.6.6.6")
			r.Header.Set("Forwarded", "for=6.6.6.6")
			a := setup(t, httpapi.Config{TrustedProxies: trusted}, nil).do(t, r)
			require.Equal(t, 200, a.status)
			require.Equal(t, `"`+c.want+`"`, string(a.body.Data))
		})
	}
	t.Run("without trusted proxies the header is ignored", func(t *testing.T) {
		r := get("/api/v1/open")
		r.RemoteAddr = "127.0.0.1:80"
		r.Header.Set("X-Forwarded-For", "1.2.3.4")
		require.Equal(t, `"127.0.0.1"`, string(setup(t, httpapi.Config{}, nil).do(t, r).body.Data))
	})
}
