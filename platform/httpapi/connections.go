package httpapi

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// connections limits the open connections. At the limit, the longest idle connection of the
// network with the most is closed for a new one. Once half are open, a client network is
// limited to its share. A connection that is not admitted is closed immediately: its sender
// retries, while a waiting connection would hold resources that others need.
type connections struct {
	limit, share   int // 0: no limit
	proxies        []netip.Prefix
	onShareReached func(network netip.Prefix) // called for a network that has used its share

	mu       sync.Mutex
	open     map[net.Conn]*connection
	networks map[netip.Prefix]int
	lastSeq  uint64 // counts changes of connections
}

type connection struct {
	network netip.Prefix // zero for a trusted proxy, which has no share
	idle    bool         // waiting for its first or next request
	seq     uint64       // lastSeq at its last change
}

func newConnections(most, percent int, proxies []netip.Prefix, crowded func(netip.Prefix)) *connections {
	c := &connections{limit: most, proxies: proxies, onShareReached: crowded, open: map[net.Conn]*connection{}, networks: map[netip.Prefix]int{}}
	if percent > 0 && percent < 100 {
		c.share = max(1, most*percent/100)
	}
	return c
}

// limitListener returns a listener with these limits.
func (c *connections) limitListener(l net.Listener) net.Listener {
	if c.limit <= 0 {
		return l
	}
	return limitedListener{l, c}
}

type limitedListener struct {
	net.Listener
	connections *connections
}

// Accept returns the next admitted connection.
func (a limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := a.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if a.connections.admit(conn) {
			return conn, nil
		}
		_ = conn.Close()
	}
}

func (c *connections) admit(conn net.Conn) bool {
	network := c.networkOf(conn)
	admitted, shareReached := c.add(conn, network)
	if shareReached {
		c.onShareReached(network)
	}
	return admitted
}

// add registers a connection, unless it is refused. shareReached reports whether it is refused
// because its network has used its share.
func (c *connections) add(conn net.Conn, network netip.Prefix) (admitted, shareReached bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := network.IsValid() && c.share > 0
	if own && 2*len(c.open) >= c.limit && c.networks[network] >= c.share {
		return false, true
	}
	if len(c.open) >= c.limit && !c.evictIdle() {
		return false, false
	}
	c.lastSeq++
	c.open[conn] = &connection{network: network, idle: true, seq: c.lastSeq}
	c.networks[network]++
	return true, false
}

func (c *connections) networkOf(conn net.Conn) netip.Prefix {
	addr, ok := parseEntry(conn.RemoteAddr().String())
	if !ok || within(addr, c.proxies) {
		return netip.Prefix{}
	}
	return clientNetwork(addr)
}

// evictIdle closes the longest idle connection of the network with the most connections. It
// reports whether there was one.
func (c *connections) evictIdle() bool {
	var chosen net.Conn
	var found *connection
	for conn, one := range c.open {
		if !one.idle {
			continue
		}
		if found == nil || c.networks[one.network] > c.networks[found.network] ||
			c.networks[one.network] == c.networks[found.network] && one.seq < found.seq {
			chosen, found = conn, one
		}
	}
	if chosen == nil {
		return false
	}
	c.remove(chosen)
	_ = chosen.Close()
	return true
}

func (c *connections) remove(conn net.Conn) {
	one := c.open[conn]
	if one == nil {
		return // it was evicted
	}
	delete(c.open, conn)
	if c.networks[one.network]--; c.networks[one.network] == 0 {
		delete(c.networks, one.network)
	}
}

// onStateChange is called by the server when a connection changes its state.
func (c *connections) onStateChange(conn net.Conn, state http.ConnState) {
	if c.limit <= 0 {
		return
	}
	if shaken, ok := conn.(*tls.Conn); ok {
		conn = shaken.NetConn()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateClosed, http.StateHijacked:
		c.remove(conn)
	case http.StateActive, http.StateIdle:
		if one := c.open[conn]; one != nil {
			c.lastSeq++
			one.idle, one.seq = state == http.StateIdle, c.lastSeq
		}
	}
}
