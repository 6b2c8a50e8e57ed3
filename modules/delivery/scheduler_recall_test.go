package delivery

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// busy is a scheduler with a settable clock.
type busy struct {
	*scheduler
	t   *testing.T
	now time.Time
}

func newBusy(t *testing.T, l limits, destinations map[string]int) *busy {
	b := &busy{newScheduler(100, func(string) limits { return l }), t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for destination, n := range destinations {
		for range n {
			b.add(queuedJob{ref: ref{JobRef: contract.JobRef{JobID: id.New()}, Destination: destination}}, b.now)
		}
	}
	return b
}

// postpone puts off what is in excess, n jobs, by an hour.
func (b *busy) postpone(n int) {
	b.t.Helper()
	list := b.excess(b.now)
	require.Len(b.t, list, n)
	away := make([]absent, len(list))
	for i, l := range list {
		away[i] = absent{l.ref, b.now.Add(time.Hour + time.Duration(i))}
	}
	b.remember(away)
}

func (b *busy) pass(d time.Duration) { b.now = b.now.Add(d) }

// end ends a request.
func (b *busy) end(a queuedJob) {
	note(&a.slot.sent, b.now)
	note(&a.slot.ended, b.now)
	b.done(a.Destination, a.slot, b.now)
}

// A destination's slots became free while all that waited for it had been postponed for seconds:
// another worker had used them for so long that this one had taken it for stuck.
func TestAFreedSlotIsUsedAtOnce(t *testing.T) {
	for sentence, l := range map[string]limits{
		"of a destination with limits of its own": {each: 3, ahead: 1, hope: 3, workers: 1},
		"of any other": {each: 1},
	} {
		t.Run(sentence, func(t *testing.T) {
			b := newBusy(t, l, map[string]int{"a": 50})
			at := b.take(100, b.now)
			require.Len(t, at, 1)
			note(&at[0].slot.ready, b.now)
			if !l.shared() {
				note(&at[0].slot.sent, b.now)
			}
			b.pass(stuckAfter + 1)
			b.postpone(49)
			require.Empty(t, b.take(100, b.now), "there is no slot free")
			for range 20 { // each slot that comes free
				b.end(at[0])
				at = b.take(100, b.now)
				require.Len(t, at, 1)
				require.False(t, at[0].postponed.IsZero(), "one that was postponed by an hour")
			}
			require.Equal(t, 29, b.absences)
		})
	}
}

func TestWhatIsRecalledIsNoMoreThanSlotsAreFree(t *testing.T) {
	b := newBusy(t, limits{each: 2}, map[string]int{"stuck": 50})
	at := b.take(100, b.now)
	require.Len(t, at, 2)
	for _, a := range at {
		note(&a.slot.sent, b.now)
	}
	b.pass(stuckAfter + 1)
	b.postpone(48)
	for range 100 { // however often the loop looks
		require.Empty(t, b.take(100, b.now))
		require.Empty(t, b.excess(b.now), "nothing is put off again and again")
	}
	b.end(at[0])
	require.Len(t, b.take(100, b.now), 1)
	require.Empty(t, b.take(100, b.now))

	b = newBusy(t, limits{each: 60}, nil)
	b.remember([]absent{{ref{JobRef: contract.JobRef{JobID: id.New()}, Destination: "a"}, b.now.Add(time.Hour)}})
	require.Empty(t, b.take(0, b.now), "the worker takes nothing now")
	require.Len(t, b.take(1, b.now), 1, "even after all of the destination's requests have ended")
	require.Empty(t, b.away)
}

func TestWhatWaitsComesBeforeWhatIsRecalled(t *testing.T) {
	b := newBusy(t, limits{each: 1}, map[string]int{"a": 3})
	b.remember([]absent{{ref{JobRef: contract.JobRef{JobID: id.New()}, Destination: "a"}, b.now.Add(time.Hour)}})
	for range 3 {
		at := b.take(100, b.now)
		require.Len(t, at, 1)
		require.True(t, at[0].postponed.IsZero())
		b.end(at[0])
	}
	require.Len(t, b.take(100, b.now), 1)
}

func TestLittleIsRememberedOfWhatWasPostponed(t *testing.T) {
	b := newBusy(t, limits{each: 1}, map[string]int{"a": 1, "b": 1})
	require.Len(t, b.take(100, b.now), 2)
	list := make([]absent, absentOfEach+10)
	for i := range list {
		list[i] = absent{ref{JobRef: contract.JobRef{JobID: id.New()}, Destination: "a"}, b.now.Add(time.Minute + time.Duration(i)*time.Second)}
	}
	b.remember(list)
	b.remember([]absent{{ref{JobRef: contract.JobRef{JobID: id.New()}, Destination: "b"}, b.now.Add(time.Hour)}})
	require.Equal(t, absentOfEach+1, b.absences)
	b.pass(time.Minute + 9*time.Second)
	require.Empty(t, b.take(100, b.now))
	require.Equal(t, absentOfEach-9, b.absences, "those that are due have messages of their own")
	b.pass(24 * time.Hour)
	require.Empty(t, b.take(100, b.now))
	require.Empty(t, b.away)
	require.Zero(t, b.absences)
}

// A job that was recalled is claimed before the time to which it was postponed; but only by who postponed it, and
// not once it was put off for another reason.
func TestAPostponedJobIsClaimedWhenItIsRecalled(t *testing.T) {
	eachStore(t, func(t *testing.T, db *database.DB) {
		h := newHarness(t, db, Config{})
		h.destination(h.receiver.URL)
		h.accept()
		r := (<-h.publisher.queue).ref
		away, err := h.Module.postpone(t.Context(), []late{{queuedJob{ref: r}, 20 * time.Second}})
		require.NoError(t, err)
		require.Len(t, away, 1)
		claims := func(until *time.Time) int {
			jobs, err := h.Module.claim(t.Context(), []bid{{r, id.New(), until}})
			require.NoError(t, err)
			return len(jobs)
		}
		other := away[0].until.Add(time.Microsecond)
		require.Zero(t, claims(nil))
		require.Zero(t, claims(&other))
		list, err := h.standings(t.Context(), []ref{r})
		require.NoError(t, err)
		require.True(t, list[0].due.at().Equal(away[0].until), "else a recalled job that is locked were put off")
		require.Equal(t, 1, claims(&away[0].until))
	})
}

// The worker of a destination that answered nothing for long, and then all, used its slots as they came free.
func TestAWorkerUsesFreedSlotsAtOnce(t *testing.T) {
	h := newHarness(t, testkit.Open(t, testkit.SQLite(t)), Config{PerDestination: 2, Timeout: time.Hour})
	h.destination(h.receiver.URL)
	gate := make(chan struct{})
	h.receiver.answers(func(_ int, _ http.ResponseWriter, r *http.Request) {
		select {
		case <-gate:
		case <-r.Context().Done():
		}
	})
	var events []string
	for range 8 {
		events = append(events, h.accept())
	}
	h.run()
	h.eventually("what waits to be postponed", func() bool {
		var n int
		require.NoError(t, h.db.Get(t.Context(), &n, `SELECT count(*) FROM processing_jobs WHERE status = 'queued' AND scheduled_at IS NOT NULL`))
		return n == 6
	})
	close(gate)
	for _, event := range events {
		h.becomes(event, contract.EventProcessed)
	}
}
