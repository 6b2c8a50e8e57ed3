package egress

import (
	"net/netip"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestResolveAppliesTheRulesWithoutConnecting(t *testing.T) {
	loopback := Allow{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}
	for _, c := range []struct {
		sentence, url string
		cfg           Config
		refusal       Refusal
	}{
		{"an address", "https://203.0.113.9/x", Config{Allow: Allow{Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}}, 0},
		{"a name", "http://localhost:1/", Config{Allow: loopback}, 0},
		{"a name that is allowed", "http://localhost:1/", Config{Allow: Allow{Hosts: []string{"localhost"}}}, 0},
		{"a name that is not allowed", "http://localhost:1/", Config{}, Loopback},
		{"a name that is denied", "http://localhost:1/", Config{Allow: loopback, Deny: Deny{Hosts: []string{"localhost"}}}, Denied},
		{"an address that is denied", "http://127.0.0.1:1/", Config{Allow: loopback, Deny: Deny{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}}, Denied},
		{"a private address", "http://10.0.0.1/", Config{}, Private},
	} {
		addrs, err := New(c.cfg).Resolve(t.Context(), c.url)
		if c.refusal == 0 {
			require.NoError(t, err, c.sentence)
			require.NotEmpty(t, addrs, c.sentence)
			continue
		}
		require.ErrorIs(t, err, c.refusal, c.sentence)
	}
	_, err := New(Config{}).Resolve(t.Context(), "http://does-not-exist.invalid/")
	require.Equal(t, KindDNS, KindOf(err))
}

func TestCheckProxy(t *testing.T) {
	require.NoError(t, New(Config{}).CheckProxy(t.Context()), "there is none")
	there, err := url.Parse(serve(t, nil))
	require.NoError(t, err)
	require.NoError(t, New(Config{Proxy: there}).CheckProxy(t.Context()))
	away, err := url.Parse("http://u:hunter2@127.0.0.1:1")
	require.NoError(t, err)
	err = New(Config{Proxy: away}).CheckProxy(t.Context())
	require.ErrorContains(t, err, "the egress proxy is unreachable")
	require.NotContains(t, err.Error(), "hunter2")
}
