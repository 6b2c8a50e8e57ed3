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

// report is a report from delivery about a request.
type report func(ctx context.Context, f *fixture, tx *database.Tx, requestID string) error

func dispatched(ctx context.Context, f *fixture, tx *database.Tx, requestID string) error {
	return f.Dispatched(ctx, tx, []contract.ReplayOrder{{RequestID: requestID, EventID: f.eventID}})
}

func completed(ctx context.Context, f *fixture, tx *database.Tx, requestID string) error {
	return f.Ended(ctx, tx, []contract.ReplayEnd{{RequestID: requestID, EventID: f.eventID}})
}

func failed(ctx context.Context, f *fixture, tx *database.Tx, requestID string) error {
	reason := "500 from\x00 \xffthe endpoint"
	return f.Ended(ctx, tx, []contract.ReplayEnd{{RequestID: requestID, EventID: f.eventID, Failed: true, Error: &reason}})
}

func TestTheStatusOfARequestNeverGoesBack(t *testing.T) {
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
		{"reported twice, it is recorded once", []report{dispatched, dispatched, completed, completed}, "completed", []string{"replay.dispatched", "replay.completed"}},
		{"a failure does not undo a completion", []report{completed, failed}, "completed", []string{"replay.completed"}},
		{"nor the other way round", []report{failed, completed}, "failed", []string{"replay.failed"}},
		{"a late dispatch does not open it again", []report{completed, dispatched}, "completed", []string{"replay.completed"}},
	}
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				f := setup(t, db)
				requestID, bystander := f.request(t), f.request(t)
				f.entries = nil
				for _, tell := range test.reports {
					f.inTx(t, func(ctx context.Context, tx *database.Tx) error { return tell(ctx, f, tx, requestID) })
				}
				requireStatus(t, f.show(t, requestID), test.status)
				require.Equal(t, slices.Contains(test.audited, "replay.dispatched"), f.show(t, requestID)["dispatchedAt"] != nil)
				require.Equal(t, test.audited, f.actions())
				requireStatus(t, f.show(t, bystander), "queued")
			})
		}
	})
}

// requireStatus checks the times and the error that a status implies.
func requireStatus(t *testing.T, shown map[string]any, status string) {
	t.Helper()
	require.Equal(t, status, shown["status"])
	require.Equal(t, status == "completed" || status == "failed", shown["completedAt"] != nil)
	if status == "failed" {
		require.Equal(t, "500 from\uFFFD \uFFFDthe endpoint", shown["errorMessage"], "in a form that both databases store")
	} else {
		require.Nil(t, shown["errorMessage"])
	}
}

func TestProgressIsAuditedUnderTheEvent(t *testing.T) {
	f := setup(t, testkit.Open(t, testkit.SQLite(t)))
	requestID := f.request(t)
	f.entries = nil
	for _, tell := range []report{dispatched, failed} {
		f.inTx(t, func(ctx context.Context, tx *database.Tx) error { return tell(ctx, f, tx, requestID) })
	}
	require.Len(t, f.entries, 2)
	for _, e := range f.entries {
		require.Equal(t, "normalized_event", e.EntityType)
		require.Equal(t, &f.eventID, e.EntityID)
		require.Equal(t, "gateway", e.Actor)
	}
	require.JSONEq(t, `{"replayRequestId":"`+requestID+`"}`, string(f.entries[0].Details))
	require.JSONEq(t, `{"replayRequestId":"`+requestID+`","error":"500 from\ufffd \ufffdthe endpoint"}`, string(f.entries[1].Details))
}

func TestOrdersReturnsQueuedRequestsInIDOrder(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db)
		first, second, third := f.request(t), f.request(t), f.request(t)
		f.inTx(t, func(ctx context.Context, tx *database.Tx) error { return dispatched(ctx, f, tx, second) })
		var orders []contract.ReplayOrder
		f.inTx(t, func(ctx context.Context, tx *database.Tx) (err error) {
			orders, err = f.Orders(ctx, tx, []string{third, id.New(), second, first, third})
			return err
		})
		require.Equal(t, []contract.ReplayOrder{{RequestID: first, EventID: f.eventID}, {RequestID: third, EventID: f.eventID}}, orders)
		f.inTx(t, func(ctx context.Context, tx *database.Tx) (err error) {
			orders, err = f.Orders(ctx, tx, nil)
			return err
		})
		require.Empty(t, orders)
	})
}

func TestManyRequestsChangeInOneCall(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		f := setup(t, db)
		first, second, third := f.request(t), f.request(t), f.request(t)
		f.entries = nil
		reason := "refused"
		f.inTx(t, func(ctx context.Context, tx *database.Tx) error {
			return f.Ended(ctx, tx, []contract.ReplayEnd{
				{RequestID: third, Failed: true, Error: &reason}, {RequestID: first}, {RequestID: first, Failed: true}, {RequestID: id.New()},
			})
		})
		require.Equal(t, []string{"replay.completed", "replay.failed"}, f.actions(), "in id order; the first report on each counts")
		require.Equal(t, "completed", f.show(t, first)["status"])
		require.Equal(t, "queued", f.show(t, second)["status"])
		require.Equal(t, "failed", f.show(t, third)["status"])
		require.Equal(t, "refused", f.show(t, third)["errorMessage"])
		f.inTx(t, func(ctx context.Context, tx *database.Tx) error { return f.Ended(ctx, tx, nil) })
		f.inTx(t, func(ctx context.Context, tx *database.Tx) error { return f.Dispatched(ctx, tx, nil) })
	})
}

func TestConcurrentCallersNeverGetTheSameOrder(t *testing.T) {
	db := testkit.Open(t, testkit.Postgres(t))
	f := setup(t, db)
	first, second := f.request(t), f.request(t)
	taken := make(chan int, 2)
	take := func(ids ...string) {
		got := -1
		_ = db.InTx(context.Background(), func(tx *database.Tx) error {
			orders, err := f.Orders(context.Background(), tx, ids)
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
	require.Equal(t, 2, <-taken+<-taken, "opposite lock orders do not deadlock, and each request is taken once")
}
