package httpapi

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
)

func networkAt(address string) netip.Prefix { return clientNetwork(netip.MustParseAddr(address)) }

func TestClientNetworks(t *testing.T) {
	require.Equal(t, networkAt("192.0.2.1"), networkAt("192.0.2.254"))
	require.NotEqual(t, networkAt("192.0.2.1"), networkAt("192.0.3.1"))
	require.Equal(t, networkAt("2001:db8:1::1"), networkAt("2001:db8:1:ffff::1"))
	require.NotEqual(t, networkAt("2001:db8:1::1"), networkAt("2001:db8:2::1"))
	require.False(t, clientNetwork(netip.Addr{}).IsValid())
}

func TestNoNetworkCanUseAllTheMemory(t *testing.T) {
	const mib = 1 << 20
	one, other := networkAt("192.0.2.1"), networkAt("198.51.100.1")
	b := newBudget(128*mib, 25)
	reason := func(err error) string {
		if err == nil {
			return ""
		}
		return fault.As(err).Reason
	}
	for range 64 {
		require.NoError(t, b.take(one, 0, mib), "while half is free there is no limit per network")
	}
	require.Equal(t, "network_bodies_in_flight", reason(b.take(one, 0, mib)))
	require.Equal(t, "network_bodies_in_flight", reason(b.take(one, 0, 1)))
	for range 32 {
		require.NoError(t, b.take(other, 0, mib), "another network has its share")
	}
	require.Equal(t, "network_bodies_in_flight", reason(b.take(other, 0, 1)))
	third, fourth := networkAt("203.0.113.1"), networkAt("203.0.114.1")
	for range 16 {
		require.NoError(t, b.take(third, 0, mib))
	}
	require.Equal(t, "bodies_in_flight", reason(b.take(fourth, 0, smallBody+1)), "the reserve is for small ones")
	require.Equal(t, "bodies_in_flight", reason(b.take(fourth, smallBody, 1)), "a growing body is no longer small")
	for range 16 * mib / smallBody {
		require.NoError(t, b.take(fourth, 0, smallBody))
	}
	require.Equal(t, "bodies_in_flight", reason(b.take(fourth, 0, 1)), "all is used")
	b.release(one, 64*mib)
	b.release(other, 32*mib)
	b.release(third, 16*mib)
	b.release(fourth, 16*mib)
	require.Zero(t, b.used)
	require.Empty(t, b.networks)
}

// With a small budget, half of it is less than the largest body of a source.
func TestANetworksOnlyBodyMayBeALargeOne(t *testing.T) {
	const mib = 1 << 20
	one := networkAt("192.0.2.1")
	b := newBudget(40*mib, 25)
	require.NoError(t, b.take(one, 0, 16*mib))
	require.NoError(t, b.take(one, 16*mib, 16*mib), "it grows")
	require.Error(t, b.take(one, 0, 4*mib), "a second one is limited")
	b.release(one, 32*mib)
}
