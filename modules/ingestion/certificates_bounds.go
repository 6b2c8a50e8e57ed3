package ingestion

import (
	"net/url"
	"time"
)

// The bounds of certificate downloads that unverified requests cause. A host that has served
// a certificate has its own budget. All others share one, so that made-up hosts cannot use up
// a real one's. Each client network has a share of a budget, which shrinks once half of the
// budget is spent.
const (
	fetchesAtOnce      = 4  // per budget
	fetchesAtOnceOwn   = 2  // per client network
	fetchesPerMinute   = 30 // per budget
	fetchesPerNetwork  = 6
	fetchesWhenScarce  = 1
	maxFetchWaiters    = 256 // requests that wait for certificates
	maxWaitersOfClient = 64  // per client network
)

// otherHosts is the budget of hosts that have not served a certificate.
const otherHosts = "others"

// fetchBounds counts the fetches of a minute, and the requests that wait for them.
type fetchBounds struct {
	minute  int64
	spent   map[string]int           // by budget
	own     map[budgetAndNetwork]int // as many entries as fetches at most
	waiting int
	waiters map[string]int // by client network
}

type budgetAndNetwork struct{ budget, network string }

func newFetchBounds() fetchBounds {
	return fetchBounds{spent: map[string]int{}, own: map[budgetAndNetwork]int{}, waiters: map[string]int{}}
}

// enter counts a waiting request, if one more is within the bounds.
func (b *fetchBounds) enter(network string) bool {
	if b.waiting >= maxFetchWaiters || b.waiters[network] >= maxWaitersOfClient {
		return false
	}
	b.waiting++
	b.waiters[network]++
	return true
}

func (b *fetchBounds) leave(network string) {
	b.waiting--
	if b.waiters[network]--; b.waiters[network] == 0 {
		delete(b.waiters, network)
	}
}

// spend charges a fetch to a budget, if one more is within the bounds.
func (b *fetchBounds) spend(budget, network string, now time.Time) bool {
	if minute := now.Unix() / 60; minute != b.minute {
		b.minute = minute
		clear(b.spent)
		clear(b.own)
	}
	share, key := fetchesPerNetwork, budgetAndNetwork{budget, network}
	if b.spent[budget] >= fetchesPerMinute/2 {
		share = fetchesWhenScarce
	}
	if b.spent[budget] >= fetchesPerMinute || b.own[key] >= share {
		return false
	}
	b.spent[budget]++
	b.own[key]++
	return true
}

// mayFetch counts a fetch, if one more is within the bounds.
func (c *certificates) mayFetch(f fetching, now time.Time) bool {
	atOnce, own := 0, 0
	for _, other := range c.fetching {
		if other.budget == f.budget {
			atOnce++
		}
		if other.budget != "" && other.network == f.network {
			own++
		}
	}
	return atOnce < fetchesAtOnce && own < fetchesAtOnceOwn && c.bounds.spend(f.budget, f.network, now)
}

// budgetOf returns the address's host if a certificate of it is cached, or otherHosts.
func (c *certificates) budgetOf(address string) string {
	host := hostOf(address)
	for _, k := range c.cached {
		if host != "" && k.host == host && k.certificate != nil {
			return host
		}
	}
	return otherHosts
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "" // an invalid address
	}
	return u.Host
}
