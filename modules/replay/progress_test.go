package replay_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// report is what delivery may tell replay about a request.
type report func(ctx context.Context, w *world, tx *database.Tx, requestID string) error

func dispatched(ctx context.Context, w *world, tx *database.Tx, requestID string) error {
	return w.Dispatched(ctx, tx, []contract.ReplayOrder{{RequestID: requestID, EventID: w.eventID}})
}

func completed(ctx context.Context, w *world, tx *database.Tx, requestID string) error {
	return w.Ended(ctx, tx, []contract.ReplayEnd{{RequestID: requestID, EventID: w.eventID}})
}

func failed(ctx context.Context, w *world, tx *database.Tx, requestID string) error {
	reason := "500 from\x00 \xffthe endpoint"
	return w.Ended(ctx, tx, []contract.ReplayEnd{{RequestID: requestID, EventID: w.eventID, Failed: true, Error: &reason}})
}

func TestARequestGoesFromOneStatusToTheNextAndNeverBack(t *testing.T) {
	tests := []struct {
		name    string
		reports []report
		status  string
		audited []string
	}{
		{"a new one is queued", nil, "queued", []string{}},
		{"its jobs exist", []report{dispatched}, "dispatched", []string{"replay.dispatched"}},
		{"its jobs are done", []report{dispatched, completed}, "completed", []string{"replay.dispatched", "replay.completed"}},
		{"its jobs failed", []report{dispatched, failed}, "failed", []string{"replay.dispatched", "replay.failed"}},
		{"there was nothing to do", []report{completed}, "completed", []string{"replay.completed"}},
		{"it could not be dispatched", []report{failed}, "failed", []string{"replay.failed"}},
		{"told twice, it happens once", []report{dispatched, dispatched, completed, completed}, "completed", []string{"replay.dispatched", "replay.completed"}},
		{"a failure does not undo a completion", []report{completed, failed}, "completed", []string{"replay.completed"}},
		{"nor the other way round", []report{failed, completed}, "failed", []string{"replay.failed"}},
		{"a late dispatch does not open it again", []report{completed, dispatched}, "completed", []string{"replay.completed"}},
	}
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				w := setup(db)
				requestID, bystander := w.request(t), w.request(t)
				w.entries = nil
				for _, tell := range test.reports {
					w.inTx(t, func(ctx context.Context, tx *database.Tx) error { return tell(ctx, w, tx, requestID) })
				}
				requireStatus(t, w.show(t, requestID), test.status)
				require.Equal(t, slices.Contains(test.audited, "replay.dispatched"), w.show(t, requestID)["dispatchedAt"] != nil)
				require.Equal(t, test.audited, w.actions())
				requireStatus(t, w.show(t, bystander), "queued")
			})
		}
	})
}

// requireStatus checks what a status implies of the times and the error beside it.
func requireStatus(t *testing.T, shown map[string]any, status string) {
	t.Helper()
	require.Equal(t, status, shown["status"])
	require.Equal(t, status == "completed" || status == "failed", shown["completedAt"] != nil)
	if status == "failed" {
		require.Equal(t, "500 from\uFFFD \uFFFDthe endpoint", shown["errorMessage"], "as both databases can store it")
	} else {
		require.Nil(t, shown["errorMessage"])
	}
}

func TestProgressIsAuditedUnderTheEvent(t *testing.T) {
	w := setup(testkit.Open(t, testkit.SQLite(t)))
	requestID := w.request(t)
	w.entries = nil
	for _, tell := range []report{dispatched, failed} {
		w.inTx(t, func(ctx context.Context, tx *database.Tx) error { return tell(ctx, w, tx, requestID) })
	}
	require.Len(t, w.entries, 2)
	for _, e := range w.entries {
		require.Equal(t, "normalized_event", e.EntityType)
		require.Equal(t, &w.eventID, e.EntityID)
		require.Equal(t, "gateway", e.Actor)
	}
	require.JSONEq(t, `{"replayRequestId":"`+requestID+`"}`, string(w.entries[0].Details))
	require.JSONEq(t, `{"replayRequestId":"`+requestID+`","error":"500 from\ufffd \ufffdthe endpoint"}`, string(w.entries[1].Details))
}

func TestOrdersAreThoseStillQueuedByTheirIds(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := setup(db)
		first, second, third := w.request(t), w.request(t), w.request(t)
		w.inTx(t, func(ctx context.Context, tx *database.Tx) error { return dispatched(ctx, w, tx, second) })
		var orders []contract.ReplayOrder
		w.inTx(t, func(ctx context.Context, tx *database.Tx) (err error) {
			orders, err = w.Orders(ctx, tx, []string{third, id.New(), second, first, third})
			return err
		})
		require.Equal(t, []contract.ReplayOrder{{RequestID: first, EventID: w.eventID}, {RequestID: third, EventID: w.eventID}}, orders)
		w.inTx(t, func(ctx context.Context, tx *database.Tx) (err error) {
			orders, err = w.Orders(ctx, tx, nil)
			return err
		})
		require.Empty(t, orders)
	})
}

func TestManyRequestsChangeInOneCall(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		w := setup(db)
		first, second, third := w.request(t), w.request(t), w.request(t)
		w.entries = nil
		reason := "refused"
		w.inTx(t, func(ctx context.Context, tx *database.Tx) error {
			return w.Ended(ctx, tx, []contract.ReplayEnd{
				{RequestID: third, Failed: true, Error: &reason}, {RequestID: first}, {RequestID: first, Failed: true}, {RequestID: id.New()},
			})
		})
		require.Equal(t, []string{"replay.completed", "replay.failed"}, w.actions(), "in the order of their ids; the first word on each counts")
		require.Equal(t, "completed", w.show(t, first)["status"])
		require.Equal(t, "queued", w.show(t, second)["status"])
		require.Equal(t, "failed", w.show(t, third)["status"])
		require.Equal(t, "refused", w.show(t, third)["errorMessage"])
		w.inTx(t, func(ctx context.Context, tx *database.Tx) error { return w.Ended(ctx, tx, nil) })
		w.inTx(t, func(ctx context.Context, tx *database.Tx) error { return w.Dispatched(ctx, tx, nil) })
	})
}

func TestTwoWhoTakeTheSameOrdersDoNotBothGetThem(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	w := setup(db)
	first, second := w.request(t), w.request(t)
	taken := make(chan int, 2)
	take := func(ids ...string) {
		got := -1
		_ = db.InTx(context.Background(), func(tx *database.Tx) error {
			orders, err := w.Orders(context.Background(), tx, ids)
			got = len(orders)
			if err != nil {
				return err
			}
			for _, o := range orders {
				if _, err := tx.Exec(context.Background(), `UPDATE replay_requests SET status = 'dispatched' WHERE id = $1`, o.RequestID); err != nil {
					return err
				}
			}
			return nil
		})
		taken <- got
	}
	go take(first, second)
	go take(second, first)
	require.Equal(t, 2, <-taken+<-taken, "opposite orders do not deadlock, and each request is had once")
}
