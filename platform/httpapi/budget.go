package httpapi

import (
	"net/netip"
	"sync"
	"time"

	"integration-gateway/platform/fault"
)

// smallBody is the largest body that may use the reserve.
const smallBody = 64 << 10

// networkBodies is the reason of a refusal because a client network has used its share.
const networkBodies = "network_bodies_in_flight"

// budget limits the bytes of all bodies in memory. An eighth is reserved for small bodies,
// so that large ones do not block them. Once half is used, no client network may hold more
// than its share.
type budget struct {
	total, reserve, share int64 // share 0: no limit per network

	mu       sync.Mutex
	used     int64
	networks map[netip.Prefix]int64
}

func newBudget(total int64, percent int) *budget {
	b := &budget{total: total, networks: map[netip.Prefix]int64{}}
	if percent > 0 && percent < 100 {
		b.share, b.reserve = total*int64(percent)/100, total/8
	}
	return b
}

// take reserves n more bytes for a body of that network which has held bytes already.
func (b *budget) take(network netip.Prefix, held, n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	most := b.total
	if held+n > smallBody {
		most -= b.reserve
	}
	switch {
	case b.used+n > most:
		return fault.Unavailable.New("bodies_in_flight", "Too many bytes are being received right now.").After(time.Second)
	case b.share > 0 && b.used+n > b.total/2 && b.networks[network]+n > b.share && b.networks[network] > held: // a network's only body may be large
		return fault.Unavailable.New(networkBodies, "Too many bytes are being received from this network right now.").After(time.Second)
	}
	b.used += n
	b.networks[network] += n
	return nil
}

func (b *budget) release(network netip.Prefix, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.networks[network] -= n; b.networks[network] == 0 {
		delete(b.networks, network)
	}
}

// ClientNetwork returns the client network of an address, whose callers have a common
// share; an invalid address is its own network.
func ClientNetwork(ip string) string {
	addr, ok := parseEntry(ip)
	if !ok {
		return ip
	}
	return clientNetwork(addr).String()
}

// clientNetwork is the unit of a share: 24 bits of an IPv4 address, 48 of an IPv6 address.
func clientNetwork(addr netip.Addr) netip.Prefix {
	bits := 48
	if addr.Is4() {
		bits = 24
	}
	network, _ := addr.Prefix(bits) // the zero Prefix if there is no address
	return network
}
