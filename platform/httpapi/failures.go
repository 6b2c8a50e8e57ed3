package httpapi

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"
)

// maxAddresses limits the addresses remembered per minute; further ones share a count.
const maxAddresses = 10_000

// An address above its failure limit has at most so many credentials checked concurrently,
// and each wrong one is answered after a delay: sixteen guesses a second, whatever the
// number of connections.
const (
	concurrentGuesses = 4
	guessDelay        = 250 * time.Millisecond
)

// Network returns the unit of a client address in limits: an IPv4 address itself, or the
// /64 network of an IPv6 address, which belongs to one owner.
func Network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || !addr.Is6() {
		return ip
	}
	network, _ := addr.Prefix(64) // of 128 bits
	return network.String()
}

// failures counts the requests without a valid credential per minute and client address, as
// Network returns it.
type failures struct {
	limit int // 0 turns it off

	mu        sync.Mutex
	minute    int64
	counts    map[string]int
	guesses   map[string]int                  // being checked or delayed, of addresses above the limit
	validated map[[sha256.Size]byte]time.Time // when credentials were last valid
}

// Valid credentials are remembered by their hash, for a time and up to a number.
const (
	validatedFor = 10 * time.Minute
	maxValidated = 4096
)

// recordValid remembers a valid credential.
func (f *failures) recordValid(credential string, now time.Time) {
	key := sha256.Sum256([]byte(credential))
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.validated) >= maxValidated {
		clear(f.validated)
	}
	if f.validated == nil {
		f.validated = map[[sha256.Size]byte]time.Time{}
	}
	f.validated[key] = now
}

// validRecently reports whether a credential was valid recently. It is checked again in any
// case.
func (f *failures) validRecently(credential string, now time.Time) bool {
	key := sha256.Sum256([]byte(credential))
	f.mu.Lock()
	defer f.mu.Unlock()
	at, known := f.validated[key]
	return known && now.Sub(at) < validatedFor
}

// guess takes a slot to check a credential of an address above its limit. wait > 0 says
// that all are taken; done is called after the request is answered.
func (f *failures) guess(ip string, now time.Time) (done func(), wait time.Duration) {
	if f.limit == 0 {
		return func() {}, 0
	}
	address := Network(ip)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.minute != now.Unix()/60 || f.counts[address] <= f.limit {
		return func() {}, 0
	}
	if f.guesses[address] >= concurrentGuesses {
		return nil, time.Second
	}
	if f.guesses == nil {
		f.guesses = map[string]int{}
	}
	f.guesses[address]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.guesses[address]--; f.guesses[address] == 0 {
			delete(f.guesses, address)
		}
	}, 0
}

// add counts a failure, and returns how long its address has to wait: 0 while it is within
// the limit.
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
