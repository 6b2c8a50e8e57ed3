package destination

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

func (h *harness) pauseFor(destinationID string, o contract.PauseOrder) error {
	ctx := httpapi.WithActor(context.Background(), "api-key:on-call")
	return h.db.InTx(ctx, func(tx *database.Tx) error { return h.PauseDestination(ctx, tx, h.integration, destinationID, o) })
}

func (h *harness) resumeNow(destinationID string) {
	h.t.Helper()
	h.tx(func(ctx context.Context, tx *database.Tx) error {
		return h.ResumeDestination(ctx, tx, h.integration, destinationID)
	})
}

// stored is the destination as it is stored.
func (h *harness) stored(destinationID string) *Destination {
	h.t.Helper()
	d := &Destination{}
	require.NoError(h.t, h.db.Get(context.Background(), d, `SELECT `+columns+` FROM destinations d WHERE d.id = $1`, destinationID))
	return d
}

// lapse has the time of a pause come.
func (h *harness) lapse(destinationID string) {
	h.t.Helper()
	require.EqualValues(h.t, 1, h.exec(`UPDATE destinations SET paused_until = $2 WHERE id = $1`, destinationID, h.db.Now().Add(-time.Second)))
}

// TestAPauseEndsByItself: once, whichever process sees it first, and with who paused it in the trail.
func TestAPauseEndsByItself(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made, other := h.add(config(t, `{"url":"https://example.com/a"}`)), h.add(config(t, `{"url":"https://example.com/b"}`))
		until := clock.At(h.db.Now().Add(2 * time.Hour))
		require.NoError(t, h.pauseFor(made.ID, contract.PauseOrder{Until: &until, Reason: to(" the receiver moves ")}))
		require.NoError(t, h.pauseFor(other.ID, contract.PauseOrder{}))
		d := h.stored(made.ID)
		require.False(t, d.IsActive)
		shown := d.shown().Pause
		require.Equal(t, "the receiver moves", *shown.Reason)
		require.Equal(t, "api-key:on-call", *shown.By)
		require.True(t, shown.Until.Equal(until.Truncate(time.Microsecond)))
		require.Nil(t, h.stored(other.ID).shown().Pause.Until)

		require.NoError(t, h.ResumeDue(t.Context()))
		require.False(t, h.stored(made.ID).IsActive, "it is not its time")
		h.lapse(made.ID)
		var processes sync.WaitGroup
		for range 4 {
			processes.Go(func() { require.NoError(t, h.ResumeDue(context.Background())) })
		}
		processes.Wait()
		d = h.stored(made.ID)
		require.True(t, d.IsActive)
		require.Nil(t, d.shown().Pause)
		require.Nil(t, d.PausedUntil)
		require.False(t, h.stored(other.ID).IsActive, "one without an end stays")
		require.NoError(t, h.ResumeDue(t.Context()))

		resumed := 0
		for _, e := range h.audit.entries {
			if e.Action != "destination.resumed" {
				continue
			}
			resumed++
			require.Equal(t, contract.ActorGateway, e.Actor)
			var details map[string]any
			require.NoError(t, json.Unmarshal(e.Details, &details))
			require.Equal(t, "api-key:on-call", details["pausedBy"])
			require.Equal(t, "the pause has ended", details["reason"])
		}
		require.Equal(t, 1, resumed)
	})
}

func TestAPauseIsChangedAndEndedByHand(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(config(t, `{"url":"https://example.com/a"}`))
		until := clock.At(h.db.Now().Add(time.Hour))
		require.NoError(t, h.pauseFor(made.ID, contract.PauseOrder{Until: &until, Reason: to("first")}))
		require.NoError(t, h.pauseFor(made.ID, contract.PauseOrder{Reason: to("second")}))
		d := h.stored(made.ID)
		require.Equal(t, "second", *d.PauseReason)
		require.Nil(t, d.PausedUntil, "it has no end any more")
		h.resumeNow(made.ID)
		require.True(t, h.stored(made.ID).IsActive)
		entries := len(h.audit.entries)
		h.resumeNow(made.ID)
		require.Len(t, h.audit.entries, entries, "an active one stays as it is")

		change := func(text string) {
			h.tx(func(ctx context.Context, tx *database.Tx) error {
				return h.ChangeDestination(ctx, tx, h.integration, made.ID, config(t, text))
			})
		}
		change(`{"isActive":false}`)
		require.NotNil(t, h.stored(made.ID).shown().Pause, "the older way is a pause too")
		require.NoError(t, h.pauseFor(made.ID, contract.PauseOrder{Until: &until}))
		change(`{"filter":"eventType == 'a'"}`)
		require.NotNil(t, h.stored(made.ID).PausedUntil, "another change leaves the pause alone")
		change(`{"isActive":true}`)
		require.Nil(t, h.stored(made.ID).PausedUntil)
	})
}

func TestTheEndOfAPauseIsBounded(t *testing.T) {
	eachHarness(t, func(h *harness) {
		made := h.add(config(t, `{"url":"https://example.com/a"}`))
		for _, d := range []time.Duration{-time.Minute, LongestPause + time.Minute} {
			until := clock.At(h.db.Now().Add(d))
			err := h.pauseFor(made.ID, contract.PauseOrder{Until: &until})
			require.True(t, fault.Is(err, fault.Invalid), "%v", err)
			require.ErrorContains(t, err, "within 30 days")
		}
		require.True(t, h.stored(made.ID).IsActive)
		until := clock.At(h.db.Now().Add(LongestPause - time.Minute))
		require.NoError(t, h.pauseFor(made.ID, contract.PauseOrder{Until: &until}))
		h.exec(`UPDATE destinations SET archived_at = $2, open_jobs = 'cancel' WHERE id = $1`, made.ID, h.db.Now())
		h.lapse(made.ID)
		require.NoError(t, h.ResumeDue(t.Context()))
		require.False(t, h.stored(made.ID).IsActive, "a removed one is not resumed")
	})
}
