package metrics

import "sync"

// The bounds of labels. Beyond them a label is `other`, so that the number of series has a
// limit whatever is configured or sent.
const (
	maxSources      = 200
	maxDestinations = 200
	maxRefusals     = 1_200 // pairs of source and reason; then the reason is other
	maxFailures     = 1_200 // combinations of destination, outcome and error; then the error is other
	maxRequests     = 120   // combinations of route, method and status; then the route is other

	other = "other"
)

// series holds the children of a metric, or of several with the same key, so that the hot
// path looks up no labels. Once most exist, further keys use what fold makes of them.
type series[K comparable, V any] struct {
	most int
	fold func(K) K
	make func(K) V

	mu sync.RWMutex
	of map[K]V
}

func newSeries[K comparable, V any](most int, fold func(K) K, create func(K) V) *series[K, V] {
	return &series[K, V]{most: most, fold: fold, make: create, of: map[K]V{}}
}

func (s *series[K, V]) get(key K) V {
	s.mu.RLock()
	v, ok := s.of[key]
	full := len(s.of) >= s.most
	s.mu.RUnlock()
	if ok {
		return v
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if full || len(s.of) >= s.most {
		key = s.fold(key)
	}
	if v, ok = s.of[key]; !ok {
		v = s.make(key)
		s.of[key] = v
	}
	return v
}

// names bounds the values of one label.
type names struct {
	most int
	mu   sync.RWMutex
	has  map[string]bool
}

func newNames(most int) *names { return &names{most: most, has: map[string]bool{}} }

// bounded returns name, or other if there are too many. The first ones keep theirs.
func (n *names) bounded(name string) string {
	n.mu.RLock()
	ok, full := n.has[name], len(n.has) >= n.most
	n.mu.RUnlock()
	switch {
	case ok:
		return name
	case full:
		return other
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.has[name] && len(n.has) >= n.most {
		return other
	}
	n.has[name] = true
	return name
}
