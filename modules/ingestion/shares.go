package ingestion

// shares counts the use of a bounded resource by client network. Once half of it is used, a
// network may use a quarter in all, and no more than it leaves to the others, so that a few
// clients cannot take everything.
type shares struct {
	taken map[string]int64 // by source; "" for a resource that all sources share
	own   map[holder]int64
}

type holder struct{ of, network string }

func newShares() *shares { return &shares{taken: map[string]int64{}, own: map[holder]int64{}} }

// fit reports whether n more are within the total and within the network's share.
func (s *shares) fit(h holder, n, total int64) bool {
	taken, own := s.taken[h.of], s.own[h]
	if own >= total {
		return false
	}
	return taken+n <= total/2 || own+n <= min(total/4, (total-taken+own+1)/2)
}

func (s *shares) take(h holder, n int64) {
	s.taken[h.of] += n
	s.own[h] += n
}

// exhaust uses up the network's share, which has no room for what it wanted. The others keep
// what is left.
func (s *shares) exhaust(h holder, total int64) { s.own[h] = total }

func (s *shares) clear() {
	clear(s.taken)
	clear(s.own)
}
