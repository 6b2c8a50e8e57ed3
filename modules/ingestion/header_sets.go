package ingestion

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"integration-gateway/platform/compact"
	"integration-gateway/platform/database"
)

// A header set is what the headers of many webhooks of a source have in common: their names, and
// the values that are always the same. A process learns it from a few webhooks in succession.
const (
	learnedFrom = 16   // webhooks
	learnAgain  = 240  // webhooks after which it learns anew
	maxSets     = 50   // per source; then the best of them is used
	maxSetBytes = 4096 // of one set
	setGain     = 24   // bytes a webhook that a new set must save

	maxSharedValue = 200 // bytes of a value in a set
	keepSetsEvery  = 10 * time.Second
)

// sharedValues are the headers whose values may stand in a set, which outlives the webhooks and
// every erasure: they tell of the sender's software and never of a person.
var sharedValues = wordSet("accept accept-charset accept-encoding accept-language cache-control connection content-encoding content-length content-type " +
	"pragma user-agent via x-forwarded-port x-forwarded-proto")

type headerSet struct {
	ID      int    `db:"id"`
	Headers []byte `db:"headers"` // like storedHeaders; a value that differs is ""
}

// compact returns what is stored of headers, and the id of the set that it needs, if it does.
func (s *headerSet) compact(headers []byte) (stored []byte, setID *int) {
	if s == nil {
		return compact.Alone(headers), nil
	}
	if stored = compact.Against(headers, s.Headers); compact.NeedsBase(stored) {
		setID = &s.ID
	}
	return stored, setID
}

// headerSets holds the current set of each source.
type headerSets struct {
	mu      sync.Mutex
	sources map[string]*headerLearner
}

type headerLearner struct {
	current *headerSet
	seen    int                 // webhooks since it began to learn
	common  map[string][]string // of these

	proposal, sample []byte // a set to store, and headers that it would help to store
}

func newHeaderSets() *headerSets { return &headerSets{sources: map[string]*headerLearner{}} }

// observe returns the source's current set, or nil, and learns from the headers.
func (h *headerSets) observe(source string, headers []byte) *headerSet {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.sources[source]
	if l == nil {
		l = &headerLearner{}
		h.sources[source] = l
	}
	if l.seen++; l.seen <= learnedFrom {
		l.learn(headers)
	} else if l.seen >= learnedFrom+learnAgain {
		l.seen, l.common = 0, nil
	}
	return l.current
}

func (l *headerLearner) learn(headers []byte) {
	var values map[string][]string
	if len(headers) > maxSetBytes || json.Unmarshal(headers, &values) != nil {
		l.seen, l.common = 0, nil
		return
	}
	for name, all := range values {
		if known, ok := l.common[name]; !sharedValues[name] || !impersonal(all) || l.common != nil && (!ok || !slices.Equal(known, all)) {
			values[name] = make([]string, len(all))
		}
	}
	if l.common = values; l.seen < learnedFrom {
		return
	}
	set, _ := json.Marshal(values) // strings always marshal
	l.common = nil
	if l.current == nil || string(l.current.Headers) != string(set) {
		l.proposal, l.sample = set, headers
	}
}

// impersonal reports whether values cannot hold an address of a person: a bot may name its
// operator's in its user agent.
func impersonal(values []string) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "@") || len(v) > maxSharedValue })
}

// take returns the proposals by source and forgets them.
func (h *headerSets) take() map[string]headerLearner {
	h.mu.Lock()
	defer h.mu.Unlock()
	taken := map[string]headerLearner{}
	for source, l := range h.sources {
		if l.proposal != nil {
			taken[source] = *l
			l.proposal, l.sample = nil, nil
		}
	}
	return taken
}

func (h *headerSets) use(source string, set *headerSet) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sources[source].current = set
}

// inUse returns the current sets by source.
func (h *headerSets) inUse() map[string]*headerSet {
	h.mu.Lock()
	defer h.mu.Unlock()
	used := map[string]*headerSet{}
	for source, l := range h.sources {
		if l.current != nil {
			used[source] = l.current
		}
	}
	return used
}

// flushHeaderSets stores the sets that were learned, so that the webhooks from now on can name
// them. It uses a stored one instead where that is about as good.
func (m *Module) flushHeaderSets(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	for source, l := range m.headerSets.take() {
		best, size, err := m.bestHeaderSet(ctx, source, l.sample)
		if err == nil && len(compact.Against(l.sample, l.proposal)) <= size-setGain {
			if err = m.insertHeaderSet(ctx, source, l.proposal); err == nil {
				best, _, err = m.bestHeaderSet(ctx, source, l.sample)
			}
		}
		if err != nil {
			return fmt.Errorf("store the headers that webhooks of %s have in common: %w", source, err)
		}
		m.headerSets.use(source, best)
	}
	return nil
}

// keepHeaderSets stores the sets in use again if the database has lost them, as a standby that
// lagged or a backup may have: else the headers of every webhook from then on could not be read.
// A set's id follows from its text, so that those of before can be read again too.
func (m *Module) keepHeaderSets(ctx context.Context) error {
	used := m.headerSets.inUse()
	if len(used) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	return m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		rows := database.NewRows("id bigint", "source text", "headers bytea", "created_at timestamptz")
		for _, source := range slices.Sorted(maps.Keys(used)) {
			rows.Add(int64(used[source].ID), source, used[source].Headers, tx.Now)
		}
		_, err := tx.ExecRows(ctx, rows, keepHeaderSetsSQL)
		return err
	})
}

const keepHeaderSetsSQL = `
INSERT INTO header_sets (id, source, headers, created_at)
SELECT id, source, headers, created_at FROM v WHERE id IS NOT NULL
ON     CONFLICT (id) DO NOTHING`

const selectHeaderSetsSQL = `
SELECT id, headers
FROM   header_sets
WHERE  source = $1
ORDER  BY id`

// bestHeaderSet returns the stored set with which these headers take the fewest bytes, and how
// many; nil if no set saves any.
func (m *Module) bestHeaderSet(ctx context.Context, source string, headers []byte) (best *headerSet, size int, err error) {
	var sets []headerSet
	if err := m.d.DB.Select(ctx, &sets, selectHeaderSetsSQL, source); err != nil {
		return nil, 0, err
	}
	size = len(compact.Alone(headers))
	for i := range sets {
		if n := len(compact.Against(headers, sets[i].Headers)); n < size {
			best, size = &sets[i], n
		}
	}
	return best, size, nil
}

// Another process may store the same set at the same time, or another one as the last.
const insertHeaderSetSQL = `
INSERT INTO header_sets (id, source, headers, created_at)
SELECT id, source, headers, created_at
FROM   v
WHERE  (SELECT count(*) FROM header_sets s WHERE s.source = v.source) < $1
ON     CONFLICT (id) DO NOTHING`

func (m *Module) insertHeaderSet(ctx context.Context, source string, headers []byte) error {
	sum := sha256.Sum256([]byte(source + "\x00" + string(headers)))
	return m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		rows := database.NewRows("id bigint", "source text", "headers bytea", "created_at timestamptz")
		rows.Add(int64(binary.BigEndian.Uint32(sum[:])>>1), source, headers, tx.Now)
		_, err := tx.ExecRows(ctx, rows, insertHeaderSetSQL, maxSets)
		return err
	})
}
