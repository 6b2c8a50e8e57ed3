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

// removal is one round of removing records, with its counts.
type removal struct {
	*Module
	maintenance *database.Maintenance
	rows        map[string]int64 // by table; for partitions the planner's estimate
	partitions  []string
}

func (r *removal) run(ctx context.Context) error {
	if err := r.maintenance.DropMarked(ctx); err != nil {
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

// events removes events created before a time, with their rows.
func (r *removal) events(ctx context.Context, have []database.Partition, before time.Time) error {
	for _, rng := range due(have, eventTables(), id.Floor(before)) {
		if err := r.dropRange(ctx, rng); err != nil {
			return err
		}
	}
	if err := r.deleteEvents(ctx, cutoffID(have, "normalized_events", before)); err != nil {
		return err
	}
	return r.deleteOrphans(ctx, before)
}

// audit removes audit entries created before a time.
func (r *removal) audit(ctx context.Context, have []database.Partition, before time.Time) error {
	ranges := due(have, auditTables(), id.Floor(before))
	entries, groups := cutoffID(have, auditTable, before), cutoffID(have, groupsTable, before)
	if len(ranges) == 0 {
		var any bool
		if err := r.d.DB.Get(ctx, &any, anyAuditSQL, entries, groups); err != nil || !any {
			return err
		}
	}
	if err := r.d.Trail.Retain(ctx, before); err != nil {
		return fmt.Errorf("seal what may be missing of the audit trail: %w", err)
	}
	for _, rng := range ranges {
		for _, table := range auditTables() {
			if err := r.drop(ctx, rng.parts[table]); err != nil {
				return err
			}
		}
	}
	if err := r.deleteBatches(ctx, auditTable, deleteAuditSQL, entries); err != nil {
		return err
	}
	return r.deleteBatches(ctx, groupsTable, deleteGroupsSQL, groups)
}

// cutoffID is the id of before. On PostgreSQL it is at most the end of the partition
// without a lower bound: later rows are removed by dropping whole partitions.
func cutoffID(have []database.Partition, table string, before time.Time) string {
	to := id.Floor(before)
	for _, p := range have {
		if p.Table == table && p.From == "" {
			return min(to, p.To)
		}
	}
	return to
}

// drop removes a partition, if it exists.
func (r *removal) drop(ctx context.Context, p database.Partition) error {
	if p.Name == "" {
		return nil
	}
	if err := r.maintenance.Drop(ctx, p); err != nil {
		return err
	}
	r.rows[p.Table] += p.Rows
	r.partitions = append(r.partitions, p.Name)
	return nil
}

// record logs and audits the totals of what was removed, also if the round ended early.
func (r *removal) record(ctx context.Context) error {
	removed := map[string]int64{}
	for table, n := range r.rows {
		if n > 0 {
			removed[table] = n
		}
	}
	if len(removed) == 0 && len(r.partitions) == 0 {
		return nil
	}
	r.d.Log.InfoContext(ctx, "removed records past their retention", "rows", removed, "partitions", r.partitions)
	details, err := json.Marshal(map[string]any{"rows": removed, "partitions": append([]string{}, r.partitions...),
		"retention": map[string]string{"events": formatRetention(r.cfg.Events), "audit": formatRetention(r.cfg.Audit)}})
	if err != nil {
		return fmt.Errorf("marshal the audit entry of a removal: %w", err)
	}
	return r.d.DB.InTx(context.WithoutCancel(ctx), func(tx *database.Tx) error {
		return r.d.Audit.Record(ctx, tx, []contract.AuditEntry{{EntityType: contract.EntityRecords,
			Action: "retention.applied", Actor: contract.ActorGateway, Details: details}})
	})
}

// ForEver is the retention of records that are never removed.
const ForEver = "for ever"

// formatRetention formats a retention as the settings do.
func formatRetention(d time.Duration) string {
	if d == 0 {
		return ForEver
	}
	if day := 24 * time.Hour; d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return strconv.FormatFloat(d.Hours(), 'f', -1, 64) + "h"
}
