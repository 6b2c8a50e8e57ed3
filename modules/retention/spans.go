package retention

import (
	"context"
	"fmt"
	"slices"

	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

const (
	jobsTable   = "processing_jobs"
	eventsTable = "normalized_events"
	auditTable  = "audit_entries"
	groupsTable = "audit_groups"
)

// auditTables lists the tables of the audit trail.
func auditTables() []string { return []string{auditTable, groupsTable} }

// eventTables lists the tables that are partitioned by the event's id, so that an event's
// rows are in the same range. Jobs come last: as long as their partition exists, the range
// is not completely dropped.
func eventTables() []string {
	return []string{"delivery_attempts", "event_states", "webhook_events", eventsTable, jobsTable}
}

// idRange is a range of ids with its partitions, by table.
type idRange struct {
	from, to string
	parts    map[string]database.Partition
}

// due returns the tables' ranges that end at or before an id, oldest first. The range
// without a lower bound is never due: rows written with a wrong clock go there.
func due(have []database.Partition, tables []string, before string) []idRange {
	var ranges []idRange
	for _, p := range have {
		if !slices.Contains(tables, p.Table) || p.From == "" || p.To > before {
			continue
		}
		at := slices.IndexFunc(ranges, func(rng idRange) bool { return rng.from == p.From && rng.to == p.To })
		if at < 0 {
			at = len(ranges)
			ranges = append(ranges, idRange{from: p.From, to: p.To, parts: map[string]database.Partition{}})
		}
		ranges[at].parts[p.Table] = p
	}
	slices.SortFunc(ranges, func(a, b idRange) int {
		if a.from < b.from {
			return -1
		}
		return 1
	})
	return ranges
}

// Pending, processing and retrying events are unfinished, whatever their jobs are.
const countUnfinishedSQL = `
SELECT (SELECT count(*) FROM (SELECT 1 FROM event_states
        WHERE  event_id >= $1 AND event_id < $2 AND status IN ('pending', 'processing', 'retrying') LIMIT 1000) AS s)
     + (SELECT count(*) FROM (SELECT 1 FROM processing_jobs
        WHERE  normalized_event_id >= $1 AND normalized_event_id < $2 AND completed_at IS NULL LIMIT 1000) AS j)`

// An event may lie in the range before or after its webhook's.
const selectUnfinishedBesideSQL = `
SELECT EXISTS (
       SELECT 1
       FROM   normalized_events e
       JOIN   event_states s ON s.event_id = e.id
       WHERE  e.webhook_event_id >= $1 AND e.webhook_event_id < $2 AND (e.id >= $3 AND e.id < $1 OR e.id >= $2 AND e.id < $4)
       AND   (s.status IN ('pending', 'processing', 'retrying')
              OR EXISTS (SELECT 1 FROM processing_jobs j WHERE j.normalized_event_id = e.id AND j.completed_at IS NULL)))`

// unfinished reports whether an event of the range, or one whose webhook is in it, is unfinished.
func (r *removal) unfinished(ctx context.Context, rng idRange) (bool, error) {
	var n int
	if err := r.d.DB.Get(ctx, &n, countUnfinishedSQL, rng.from, rng.to); err != nil {
		return false, fmt.Errorf("look for unfinished events: %w", err)
	}
	keep := n > 0
	if !keep {
		from, to := id.Floor(id.Time(rng.from).Add(-maxEventDelay)), id.Floor(id.Time(rng.to).Add(maxEventDelay))
		if err := r.d.DB.Get(ctx, &keep, selectUnfinishedBesideSQL, rng.from, rng.to, from, to); err != nil {
			return false, fmt.Errorf("look for unfinished events of the webhooks: %w", err)
		}
	}
	if keep {
		r.d.Log.InfoContext(ctx, "kept partitions past their retention: some events in them are unfinished", "from", rng.from, "to", rng.to)
	}
	return keep, nil
}

// dropRange drops a range of events with all its rows, unless one of them is unfinished. A
// replay may run at the same time, so the events' partition is detached first: that waits
// for transactions that have read the events and prevents new replays. If an event got a
// job in the meantime, the partition is attached again. A round that a dead process left is
// continued.
func (r *removal) dropRange(ctx context.Context, rng idRange) error {
	events := rng.eventPartition()
	for _, detached := range []bool{false, true} {
		if detached {
			if err := r.maintenance.Detach(ctx, events); err != nil {
				return err
			}
		}
		switch keep, err := r.unfinished(ctx, rng); {
		case err != nil:
			return err
		case keep:
			return r.maintenance.Attach(ctx, events)
		}
	}
	if err := r.deleteUnpartitioned(ctx, rng); err != nil {
		return err
	}
	for _, table := range eventTables() {
		p := rng.parts[table]
		if table == eventsTable {
			p = events
		}
		if err := r.drop(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// eventPartition returns the partition of normalized_events, also if a process died after
// detaching it: its name follows from the others.
func (rng idRange) eventPartition() database.Partition {
	if p, ok := rng.parts[eventsTable]; ok {
		return p
	}
	for table, p := range rng.parts {
		return database.Partition{Table: eventsTable, Name: eventsTable + p.Name[len(table):], From: rng.from, To: rng.to}
	}
	return database.Partition{}
}
