package delivery

import (
	"context"
	"slices"
	"time"

	"integration-gateway/platform/database"
)

var publishLaterSQL = `
UPDATE processing_jobs SET published_at = NULL, wake_at = v.wake
FROM   v
WHERE  normalized_event_id = v.event_id AND processing_jobs.id = v.id AND ` + queued.isSQL() + ` AND NOT parked`

// publishLater schedules early jobs for their due time. It uses one transaction, since the
// worker's loop waits for it.
func (m *Module) publishLater(ctx context.Context, list []early) error {
	if len(list) == 0 {
		return nil
	}
	slices.SortFunc(list, func(a, b early) int { return a.compare(b.ref) })
	return m.db.InTx(ctx, func(tx *database.Tx) error {
		rows := database.NewRows("event_id uuid", "id uuid", "wake timestamptz")
		announcements := make([]announcement, len(list))
		for i, e := range list {
			announcements[i] = m.announcement(e.ref, tx.Now, e.by)
			rows.Add(e.EventID, e.JobID, announcements[i].wakeAt)
		}
		tx.AfterCommit(func() { m.publisher.announce(announcements) })
		_, err := tx.ExecRows(ctx, rows, publishLaterSQL)
		return err
	})
}

// early is a job that arrived before it is due, and by how much.
type early struct {
	queuedJob
	by time.Duration
}

var postponeSQL = `
UPDATE processing_jobs SET scheduled_at = v.due, published_at = NULL, wake_at = v.wake
FROM   v
WHERE  normalized_event_id = v.event_id AND processing_jobs.id = v.id AND ` + queued.isSQL() + ` AND NOT parked`

// maxPostponed bounds the postponement of a job: a destination may recover at any time.
const maxPostponed = time.Minute

// postpone moves jobs for a slow destination to the time when they may get a slot, or by
// about one timeout if that is unknown. It returns until when.
func (m *Module) postpone(ctx context.Context, list []late) (away []absent, err error) {
	slices.SortFunc(list, func(a, b late) int { return a.compare(b.ref) }) // as all rows are locked
	delays := make([]time.Duration, len(list))
	for i, l := range list {
		delays[i] = m.cfg.Timeout/2 + time.Duration(m.random()*float64(m.cfg.Timeout))
		if l.by > 0 {
			delays[i] = min(max(l.by, time.Second), maxPostponed)
		}
	}
	err = m.db.InTx(ctx, func(tx *database.Tx) error {
		rows := database.NewRows("event_id uuid", "id uuid", "due timestamptz", "wake timestamptz")
		announcements := make([]announcement, len(list))
		away = make([]absent, len(list))
		for i, a := range list {
			announcements[i] = m.announcement(a.ref, tx.Now, delays[i])
			away[i] = absent{a.ref, tx.Now.Add(delays[i]).Truncate(time.Microsecond)} // as it is read back
			rows.Add(a.EventID, a.JobID, away[i].until, announcements[i].wakeAt)
		}
		tx.AfterCommit(func() { m.publisher.announce(announcements) })
		_, err := tx.ExecRows(ctx, rows, postponeSQL)
		return err
	})
	return away, err
}
