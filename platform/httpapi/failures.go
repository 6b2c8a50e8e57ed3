package httpapi

import (
	"net/netip"
	"sync"
	"time"
)

// maxAddresses bounds what is remembered of one minute; those beyond share a count.
const maxAddresses = 10_000

// Network is what a client address counts as in limits: itself, or the network of 64 bits
// of an IPv6 address, whose owner has them all.
func Network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || !addr.Is6() {
		return ip
	}
	network, _ := addr.Prefix(64) // of 128 bits
	return network.String()
}

// failures counts, by the minute, the requests without a valid credential of each
// client address, as Network gives it.
type failures struct {
	limit int // 0 turns it off

	mu     sync.Mutex
	minute int64
	counts map[string]int
}

// add counts a failure, and gives how long its address has to wait: 0 while it is
// within the limit.
func (f *failures) add(ip string, now time.Time) time.Duration {
	if f.limit == 0 {
		return 0
	}
	address := Network(ip)
	f.mu.Lock()
	defer f.mu.Unlock()
	if minute := now.Unix() / 60; minute != f.minute || f.counts == nil {
		f.minute, f.counts = minute, map[string]int{}
	}
	if _, known := f.counts[address]; !known && len(f.counts) >= maxAddresses {
		address = ""
	}
	f.counts[address]++
	if f.counts[address] <= f.limit {
		return 0
	}
	return time.Unix((f.minute+1)*60, 0).Sub(now)
}
