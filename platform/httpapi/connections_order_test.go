package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// At the limit the longest idle connection of the network with the most is evicted, and never an
// active one.
func TestTheLongestIdleConnectionIsEvicted(t *testing.T) {
	c := newConnections(4, 0, nil, nil)
	large, small := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24")
	open := func(network netip.Prefix) (conn, peer net.Conn) {
		conn, peer = net.Pipe()
		t.Cleanup(func() { _ = conn.Close(); _ = peer.Close() })
		admitted, _ := c.add(conn, network)
		require.True(t, admitted)
		return conn, peer
	}
	lone, _ := open(small) // idle for longer than the others, but not of the network with the most
	first, firstPeer := open(large)
	second, secondPeer := open(large)
	third, _ := open(large)
	c.onStateChange(third, http.StateActive)
	c.onStateChange(first, http.StateActive)
	c.onStateChange(first, http.StateIdle) // now the second is idle for longer

	fourth, _ := open(small)
	_, err := secondPeer.Read(make([]byte, 1))
	require.Error(t, err, "it is closed")
	require.NotContains(t, c.open, second)
	for _, stays := range []net.Conn{lone, first, third, fourth} {
		require.Contains(t, c.open, stays)
	}
	c.onStateChange(first, http.StateActive)
	fifth, _ := open(small)
	require.NotContains(t, c.open, lone)
	c.onStateChange(fourth, http.StateActive)
	c.onStateChange(fifth, http.StateActive)
	admitted, _ := c.add(firstPeer, small)
	require.False(t, admitted, "all are active")
}
