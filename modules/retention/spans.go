package retention

import (
	"context"
	"fmt"
	"slices"

	"integration-gateway/platform/database"
)

const (
	jobsTable   = "processing_jobs"
	eventsTable = "normalized_events"
	auditTable  = "audit_entries"
)

// eventTables are partitioned alike: what belongs to an event is in the same range. The
// jobs go last, since they say that there is something to go.
func eventTables() []string {
	return []string{"delivery_attempts", "event_states", "webhook_events", eventsTable, jobsTable}
}

// span is a range of ids and the partitions that hold it, by table.
type span struct {
	from, to string
	parts    map[string]database.Partition
}

// due gives the ranges of tables that end at or before an id, oldest first. The one
// without a beginning is never due: whoever's clock is wrong writes there.
func due(have []database.Partition, tables []string, before string) []span {
	var spans []span
	for _, p := range have {
		if !slices.Contains(tables, p.Table) || p.From == "" || p.To > before {
			continue
		}
		at := slices.IndexFunc(spans, func(s span) bool { return s.from == p.From && s.to == p.To })
		if at < 0 {
			at = len(spans)
			spans = append(spans, span{from: p.From, to: p.To, parts: map[string]database.Partition{}})
		}
		spans[at].parts[p.Table] = p
	}
	slices.SortFunc(spans, func(a, b span) int {
		if a.from < b.from {
			return -1
		}
		return 1
	})
	return spans
}

// An event whose state is none of the two ends is not at its end, whatever its jobs are.
const countUnfinishedSQL = `
SELECT (SELECT count(*) FROM (SELECT 1 FROM event_states
        WHERE  event_id >= $1 AND event_id < $2 AND status IN ('pending', 'processing', 'retrying') LIMIT 1000) AS s)
     + (SELECT count(*) FROM (SELECT 1 FROM processing_jobs
        WHERE  normalized_event_id >= $1 AND normalized_event_id < $2 AND status IN ('queued', 'running') LIMIT 1000) AS j)`

func (r *removal) unfinished(ctx context.Context, s span) (bool, error) {
	var n int
	if err := r.d.DB.Get(ctx, &n, countUnfinishedSQL, s.from, s.to); err != nil {
		return false, fmt.Errorf("look for events that are not at their end: %w", err)
	}
	if n > 0 {
		r.d.Log.InfoContext(ctx, "kept partitions beyond the retention: not every event in them is at its end", "from", s.from, "to", s.to)
	}
	return n > 0, nil
}

// dropSpan removes a range of events with all that belongs to them, unless one of them is
// not at its end. A replay may come at this very moment: the events are taken out first,
// which waits for transactions that have seen them and leaves none to be replayed, and
// come back when one got a job in the meantime. What a process that died had begun is
// taken up again.
func (r *removal) dropSpan(ctx context.Context, s span) error {
	events := s.eventPartition()
	for _, taken := range []bool{false, true} {
		if taken {
			if err := r.keep.Detach(ctx, events); err != nil {
				return err
			}
		}
		switch keep, err := r.unfinished(ctx, s); {
		case err != nil:
			return err
		case keep:
			return r.keep.Attach(ctx, events)
		}
	}
	if err := r.deleteBeside(ctx, s); err != nil {
		return err
	}
	for _, table := range eventTables() {
		p := s.parts[table]
		if table == eventsTable {
			p = events
		}
		if err := r.drop(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// eventPartition is that of normalized_events, also where a process died that had taken
// it out: it is named like the others.
func (s span) eventPartition() database.Partition {
	if p, ok := s.parts[eventsTable]; ok {
		return p
	}
	for table, p := range s.parts {
		return database.Partition{Table: eventsTable, Name: eventsTable + p.Name[len(table):], From: s.from, To: s.to}
	}
	return database.Partition{}
}
