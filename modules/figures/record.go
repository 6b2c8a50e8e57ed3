package figures

import (
	"sync"
	"time"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/id"
)

// noDestination stands for the destination in what is counted of a source itself.
const noDestination = "00000000-0000-0000-0000-000000000000"

// maxCells bounds the memory: sources and destinations, in the minutes that are not stored
// yet. Beyond it, figures count for the source (other).
const (
	maxCells    = 20_000
	otherSource = "(other)"
)

// settleAfter is how long a minute is kept in memory after its end, for observations that
// come late. Those that come later count in the minute of then.
const settleAfter = 2 // minutes

type key struct {
	minute      int64 // since 1970
	source      string
	destination string
}

// cell holds the counts of a key. It is stored if changes is greater than stored.
type cell struct {
	process string
	counts
	changes, stored uint64
}

// recorder counts in memory. Its methods may be called from any goroutine and only wait for
// each other. They allocate nothing, but for the first count of a minute.
type recorder struct {
	mu      sync.Mutex
	process string // changes if the clock is set back, so that no row is overwritten
	cells   map[key]*cell
	floor   int64 // earlier minutes are stored and forgotten
}

func newRecorder() *recorder { return &recorder{process: id.New(), cells: map[key]*cell{}} }

// of returns the cell for a moment, with the lock held.
func (r *recorder) of(at time.Time, source, destination string) *cell {
	k := key{max(at.Unix()/60, r.floor), source, destination}
	c := r.cells[k]
	if c == nil {
		if len(r.cells) >= maxCells {
			k.source, k.destination = otherSource, noDestination
			c = r.cells[k]
		}
		if c == nil {
			c = &cell{process: r.process}
			r.cells[k] = c
		}
	}
	c.changes++
	return c
}

// Received counts an answered webhook.
func (m *Module) Received(source, outcome string, began time.Time, took time.Duration) {
	r := m.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.of(began.Add(took), source, noDestination)
	switch outcome {
	case "accepted":
		c.accepted++
	case "duplicate":
		c.duplicate++
	case "handshake":
		c.handshakes++
	case "failed":
		c.failed++
	}
}

// Refused counts a refused webhook by its reason.
func (m *Module) Refused(source, reason string, at time.Time) {
	r := m.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.of(at, source, noDestination)
	c.refused = increase(c.refused, reason)
}

// Attempted counts a recorded attempt. kind is its error's, "" if it was delivered.
func (m *Module) Attempted(a contract.CountedAttempt) {
	r := m.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.of(a.At, a.Source, a.DestinationID)
	c.attempts = observe(c.attempts, bucketOf(a.Took))
	if a.ErrorKind != "" {
		c.errors = increase(c.errors, a.ErrorKind)
		return
	}
	c.delivered++
	if a.EndToEnd > 0 {
		c.endToEnd = observe(c.endToEnd, bucketOf(a.EndToEnd))
	}
}

// change is a row to be stored: the counts of a key until now.
type change struct {
	key
	process string
	encoded []byte
	cell    *cell
	changes uint64
}

// changed returns what is not stored yet.
func (r *recorder) changed() []change {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []change
	for k, c := range r.cells {
		if c.changes > c.stored {
			list = append(list, change{k, c.process, c.encode(), c, c.changes})
		}
	}
	return list
}

// stored notes that changes are stored, and forgets minutes that are over.
func (r *recorder) stored(list []change, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range list {
		c.cell.stored = c.changes
	}
	minute := now.Unix() / 60
	if minute < r.floor-settleAfter { // the clock was set back
		r.process, r.floor = id.New(), 0
		for k, c := range r.cells {
			if c.changes == c.stored {
				delete(r.cells, k)
			}
		}
		return
	}
	r.floor = max(r.floor, minute-settleAfter)
	for k, c := range r.cells {
		if k.minute < r.floor && c.changes == c.stored {
			delete(r.cells, k)
		}
	}
}
