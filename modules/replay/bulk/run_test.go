package bulk_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/modules/replay/bulk"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/testkit"
)

const all = `{"all":true,"rate":10000,"reason":"because"}`

// TestAProcessMayDieBetweenAnyTwoSteps kills the process at its first call of a neighbour, then
// at the second, and so on until one lives to the end. Each time another process goes on.
func TestAProcessMayDieBetweenAnyTwoSteps(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		for killAt := 1; ; killAt++ {
			w := newWorld(t, db, 11, 2)
			replayID := w.order(all)
			w.calls, w.killAt = 0, killAt
			died := w.rounds(w.process(fast), w.scanned(replayID))
			w.killAt = 0
			require.True(t, died == nil || errors.Is(died, errKilled), died)
			require.NoError(t, w.rounds(w.process(fast), w.scanned(replayID)))
			require.Equal(t, w.want(), w.got(), "killed at call %d", killAt)
			w.endAll()
			require.NoError(t, w.rounds(w.process(fast), func() bool { return w.is(replayID, "completed") }))
			n := float64(len(w.want()))
			require.Equal(t, map[string]any{"matched": n, "queued": n, "delivered": n - 2, "failed": 2.0}, w.show(replayID)["counts"])
			require.Equal(t, []string{"bulk_replay.ordered", "bulk_replay.completed"}, w.actions())
			if died == nil {
				require.Greater(t, killAt, 20, "it died at each of its calls")
				return
			}
		}
	})
}

// TestProcessesThatCompeteSendNothingTwice lets three processes take the lease from each other
// all the time.
func TestProcessesThatCompeteSendNothingTwice(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db, 60, 3)
		replayID := w.order(all)
		var processes sync.WaitGroup
		for range 3 {
			processes.Go(func() {
				p := w.process(fast)
				for !w.scanned(replayID)() {
					if _, err := p.Round(context.Background()); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		processes.Wait()
		require.Equal(t, w.want(), w.got())
	})
}

func TestAnotherProcessWaitsForTheLease(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db, 11, 2)
		replayID := w.order(all)
		long := fast
		long.Lease = time.Hour
		first, second := w.process(long), w.process(long)
		_, err := first.Round(context.Background())
		require.NoError(t, err)
		before := w.calls
		for range 5 {
			_, err := second.Round(context.Background())
			require.NoError(t, err)
		}
		require.Equal(t, before, w.calls, "the second process did nothing")

		stopped, stop := context.WithCancel(context.Background())
		stop()
		require.NoError(t, first.Run(stopped)) // it gives the lease up
		require.NoError(t, w.rounds(second, w.scanned(replayID)))
		require.Equal(t, w.want(), w.got())
	})
}

func TestAReplayIsPausedResumedAndCancelled(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db, 30, 1)
		replayID := w.order(all)
		p := w.process(fast)
		require.NoError(t, w.rounds(p, func() bool { return len(w.got()) >= 4 }))

		do := func(what string) (int, map[string]any) {
			return w.call(http.MethodPost, "/replays/"+replayID+"/"+what, "")
		}
		status, answer := do("pause")
		require.Equal(t, http.StatusOK, status, answer)
		require.Equal(t, "paused", answer["data"].(map[string]any)["status"])
		status, _ = do("pause")
		require.Equal(t, http.StatusOK, status, "the same order twice is no conflict")
		n := len(w.got())
		for range 10 {
			_, err := p.Round(context.Background())
			require.NoError(t, err)
		}
		require.Len(t, w.got(), n, "nothing more is asked for")

		status, answer = do("resume")
		require.Equal(t, http.StatusOK, status, answer)
		require.NoError(t, w.rounds(p, func() bool { return len(w.got()) > n }))

		status, answer = do("cancel")
		require.Equal(t, http.StatusOK, status, answer)
		require.NoError(t, w.rounds(p, func() bool { return w.show(replayID)["endedAt"] != nil }))
		shown := w.show(replayID)
		require.Equal(t, "cancelled", shown["status"])
		counts := shown["counts"].(map[string]any)
		require.EqualValues(t, len(w.got()), counts["queued"])
		require.Equal(t, counts["queued"], counts["failed"], "what waited was cancelled")
		require.Less(t, len(w.got()), len(w.want()))
		for _, what := range []string{"pause", "resume"} {
			status, answer = do(what)
			require.Equal(t, http.StatusConflict, status, answer)
		}
		require.Equal(t, []string{"bulk_replay.ordered", "bulk_replay.paused", "bulk_replay.resumed", "bulk_replay.cancelled"}, w.actions())
	})
}

// TestAPauseUndoesThePageUnderWay pauses between the reading of a page and its commit.
func TestAPauseUndoesThePageUnderWay(t *testing.T) {
	w := newWorld(t, testkit.Open(t, testkit.SQLite(t)), 11, 2)
	replayID := w.order(all)
	p := w.process(fast)
	require.NoError(t, w.rounds(p, func() bool { return w.show(replayID)["counted"] == true }))
	paused := pausing{world: w, replayID: replayID}
	p = bulk.New(fast, bulk.Deps{DB: w.db, Log: quiet, Now: clock.System, Events: w, Deliveries: &paused, Sources: w, Requests: w.module, URLs: w.module.SealedURLs(), Audit: w})
	for range 10 {
		_, err := p.Round(context.Background())
		require.NoError(t, err)
	}
	require.True(t, paused.done)
	require.Empty(t, w.got())
	require.Equal(t, "paused", w.show(replayID)["status"])
}

// TestAnErasedSubjectIsForgotten: it leaves the filters, and the replay goes on with none of its
// events rather than with all.
func TestAnErasedSubjectIsForgotten(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db, 3, 1)
		of := w.order(`{"filter":{"subject":"ada@example.com"},"reason":"because"}`)
		other := w.order(`{"filter":{"subject":"grace@example.com"},"reason":"because"}`)
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
			return w.process(fast).ForgetSubject(t.Context(), tx, "ada@example.com", nil)
		}))
		require.Equal(t, "[erased]", w.show(of)["filter"].(map[string]any)["subject"])
		require.Equal(t, "grace@example.com", w.show(other)["filter"].(map[string]any)["subject"])
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
			return w.process(fast).ForgetSubject(t.Context(), tx, "grace@example.com", []string{w.integrationID})
		}))
		require.Equal(t, "grace@example.com", w.show(other)["filter"].(map[string]any)["subject"], "it is of all sources, and the erasure of one")
		own := w.order(`{"filter":{"subject":"grace@example.com","source":"acme"},"reason":"because"}`)
		require.NoError(t, db.InTx(t.Context(), func(tx *database.Tx) error {
			return w.process(fast).ForgetSubject(t.Context(), tx, "grace@example.com", []string{w.integrationID})
		}))
		require.Equal(t, "[erased]", w.show(own)["filter"].(map[string]any)["subject"])
	})
}
