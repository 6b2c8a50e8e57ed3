package ingestion

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

const purgeQuarantineSQL = `
DELETE FROM quarantine
WHERE  received_at < $1`

const purgeDropsSQL = `
DELETE FROM quarantine_drops
WHERE  hour < $1`

const purgeMarksSQL = `
DELETE FROM erasure_marks
WHERE  ordered_at < $1`

// purgeQuarantine deletes requests and counts past the retention.
func (m *Module) purgeQuarantine(ctx context.Context, tx *database.Tx, counts bool) error {
	oldest := m.d.Now().Add(-m.cfg.Quarantine.Retention)
	if _, err := tx.Exec(ctx, purgeQuarantineSQL, oldest); err != nil {
		return fmt.Errorf("purge expired requests: %w", err)
	}
	if !counts {
		return nil
	}
	if m.d.Spool.Clear() { // else they concern what is in it, however old it is
		if _, err := tx.Exec(ctx, purgeMarksSQL, oldest.Add(-time.Hour)); err != nil { // of what waits in memory too
			return fmt.Errorf("purge the marks of erasures: %w", err)
		}
	}
	if _, err := tx.Exec(ctx, purgeDropsSQL, oldest); err != nil {
		return fmt.Errorf("purge expired drop counts: %w", err)
	}
	return nil
}

// trimQuarantine trims the sources of the added requests to their bounds.
func (m *Module) trimQuarantine(ctx context.Context, added []quarantined, purge bool) error {
	requests, bytes := map[string]int{}, map[string]int64{}
	for _, q := range added {
		requests[q.Source]++
		bytes[q.Source] += q.stored
	}
	for _, source := range slices.Sorted(maps.Keys(requests)) {
		if !m.quarantine.trimDue(source, requests[source], bytes[source], purge) {
			continue
		}
		if err := m.trimSource(ctx, source); err != nil {
			return fmt.Errorf("trim source %s: %w", source, err)
		}
	}
	return nil
}

const sumQuarantineSQL = `
SELECT count(*) AS requests, COALESCE(CAST(sum(stored) AS bigint), 0) AS bytes
FROM   quarantine
WHERE  source = $1`

const selectStoredSQL = `
SELECT id, source_ip, stored
FROM   quarantine
WHERE  source = $1
ORDER  BY id DESC`

const trimQuarantineSQL = `
DELETE FROM quarantine
WHERE  id IN (SELECT id FROM v)
RETURNING size`

// trimSource reads the rows outside its transaction, so that others do not wait for the scan.
// Rows that were removed in between are not counted.
func (m *Module) trimSource(ctx context.Context, source string) error {
	var sum struct{ Requests, Bytes int64 }
	if err := m.d.DB.Get(ctx, &sum, sumQuarantineSQL, source); err != nil {
		return err
	}
	if sum.Requests <= int64(m.cfg.Quarantine.PerSource) && sum.Bytes <= m.cfg.Quarantine.BytesPerSource {
		return nil
	}
	var rows []storedRequest
	if err := m.d.DB.Select(ctx, &rows, selectStoredSQL, source); err != nil {
		return err
	}
	ids := m.cfg.Quarantine.excess(rows)
	if len(ids) == 0 {
		return nil
	}
	return m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		var sizes []int64
		if err := tx.SelectRows(ctx, &sizes, database.IDs(ids), trimQuarantineSQL); err != nil || len(sizes) == 0 {
			return err
		}
		d := dropped{requests: int64(len(sizes))}
		for _, size := range sizes {
			d.bytes += size
		}
		return insertDrops(ctx, tx, map[drop]dropped{{source, tx.Now.Unix() / 3600 * 3600, dropSource}: d})
	})
}

// storedRequest is a request in quarantine with its size and its client.
type storedRequest struct {
	ID       string `db:"id"`
	SourceIP string `db:"source_ip"`
	Stored   int64  `db:"stored"`
	within   int64  // bytes of its network's requests that are as new or newer
}

// excess returns the ids, in order, of the requests that exceed a source's bounds. rows are
// all of its requests, newest first. The oldest requests of the largest client network go
// first, so that no client can push out more than what exceeds an equal share.
func (q Quarantine) excess(rows []storedRequest) []string {
	networks := map[string]int64{}
	for i, r := range rows {
		network := httpapi.ClientNetwork(r.SourceIP)
		networks[network] += r.Stored
		rows[i].within = networks[network]
	}
	slices.SortStableFunc(rows, func(a, b storedRequest) int { return cmp.Compare(a.within, b.within) })
	var ids []string
	bytes := int64(0)
	for i, r := range rows {
		if bytes += r.Stored; i >= q.PerSource || bytes > q.BytesPerSource {
			ids = append(ids, r.ID)
		}
	}
	slices.Sort(ids)
	return ids
}
