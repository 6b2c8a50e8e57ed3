package retention

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// removal is one round of removing, and what it removed.
type removal struct {
	*Module
	keep       *database.Maintenance
	rows       map[string]int64 // by table; of partitions the planner's estimate
	partitions []string
}

func (r *removal) run(ctx context.Context) error {
	if err := r.keep.DropCondemned(ctx); err != nil {
		return err
	}
	have, err := r.d.DB.Partitions(ctx)
	if err != nil {
		return err
	}
	now := r.d.Now()
	if r.cfg.Events > 0 {
		if err := r.events(ctx, have, now.Add(-r.cfg.Events)); err != nil {
			return err
		}
	}
	if r.cfg.Audit > 0 {
		return r.audit(ctx, have, now.Add(-r.cfg.Audit))
	}
	return nil
}

// events removes events that were made before a time, and all that belongs to them.
func (r *removal) events(ctx context.Context, have []database.Partition, before time.Time) error {
	for _, s := range due(have, eventTables(), id.Floor(before)) {
		if err := r.dropSpan(ctx, s); err != nil {
			return err
		}
	}
	if err := r.deleteEvents(ctx, bound(have, "normalized_events", before)); err != nil {
		return err
	}
	return r.deleteAlone(ctx, before)
}

// audit removes audit entries that were made before a time.
func (r *removal) audit(ctx context.Context, have []database.Partition, before time.Time) error {
	for _, s := range due(have, []string{auditTable}, id.Floor(before)) {
		if err := r.drop(ctx, s.parts[auditTable]); err != nil {
			return err
		}
	}
	return r.deleteBatches(ctx, auditTable, deleteAuditSQL, bound(have, auditTable, before))
}

// bound is before as an id, and on PostgreSQL no more than the end of the partition of
// what is older: from there on whole partitions go.
func bound(have []database.Partition, table string, before time.Time) string {
	to := id.Floor(before)
	for _, p := range have {
		if p.Table == table && p.From == "" {
			return min(to, p.To)
		}
	}
	return to
}

// drop removes a partition, if it is there.
func (r *removal) drop(ctx context.Context, p database.Partition) error {
	if p.Name == "" {
		return nil
	}
	if err := r.keep.Drop(ctx, p); err != nil {
		return err
	}
	r.rows[p.Table] += p.Rows
	r.partitions = append(r.partitions, p.Name)
	return nil
}

// note logs and audits, in sum, what was removed, also when the round ended early.
func (r *removal) note(ctx context.Context) error {
	removed := map[string]int64{}
	for table, n := range r.rows {
		if n > 0 {
			removed[table] = n
		}
	}
	if len(removed) == 0 && len(r.partitions) == 0 {
		return nil
	}
	r.d.Log.InfoContext(ctx, "removed what was older than its retention", "rows", removed, "partitions", r.partitions)
	details, err := json.Marshal(map[string]any{"rows": removed, "partitions": append([]string{}, r.partitions...),
		"retention": map[string]string{"events": forever(r.cfg.Events), "audit": forever(r.cfg.Audit)}})
	if err != nil {
		return fmt.Errorf("the audit entry of a removal: %w", err)
	}
	return r.d.DB.InTx(context.WithoutCancel(ctx), func(tx *database.Tx) error {
		return r.d.Audit.Record(ctx, tx, []contract.AuditEntry{{EntityType: contract.EntityRecords,
			Action: "retention.applied", Actor: contract.ActorGateway, Details: details}})
	})
}

// ForEver is the retention of what is never removed.
const ForEver = "for ever"

// forever writes a retention as settings have it.
func forever(d time.Duration) string {
	if d == 0 {
		return ForEver
	}
	if day := 24 * time.Hour; d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return strconv.FormatFloat(d.Hours(), 'f', -1, 64) + "h"
}
