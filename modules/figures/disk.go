package figures

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/httpapi"
)

// The disk is measured every minute on PostgreSQL; on SQLite, where that reads the file, every
// hour. Only the first answer waits for it.
const (
	diskFreshFor       = time.Minute
	diskFreshForSQLite = time.Hour
	diskTimeout        = 5 * time.Second
)

type diskUse struct {
	at     time.Time
	tables []TableDisk
	failed bool
}

// eventTables are the tables whose size a source's events make.
var eventTables = []string{"webhook_events", "normalized_events", "event_states", "processing_jobs", "delivery_attempts", "idempotency_keys", "audit_entries", "audit_groups"}

// diskUse returns what the tables take; nil if that cannot be measured.
func (m *Module) diskUse(ctx context.Context, s *snapshot) *Disk {
	if m.disk.Load() == nil {
		m.measureDisk(ctx)
	}
	if d := m.disk.Load(); !d.failed {
		return d.view(s)
	}
	return nil
}

// measureDisk measures what the tables take, if that was not done lately.
func (m *Module) measureDisk(ctx context.Context) {
	m.measuring.Lock()
	defer m.measuring.Unlock()
	now, freshFor, last := m.d.Now(), diskFreshFor, m.disk.Load()
	if m.d.DB.Dialect.Name != "postgres" && (last == nil || !last.failed) {
		freshFor = diskFreshForSQLite
	}
	if last != nil && now.Sub(last.at) < freshFor && !now.Before(last.at) {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, diskTimeout)
	defer cancel()
	used, err := m.d.DB.DiskUse(bounded)
	if err != nil {
		m.d.Log.WarnContext(ctx, "measuring the disk failed", "error", err)
	}
	measured := &diskUse{at: now, failed: err != nil}
	for table, bytes := range used {
		measured.tables = append(measured.tables, TableDisk{table, bytes})
	}
	slices.SortFunc(measured.tables, func(a, b TableDisk) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Table, b.Table))
	})
	m.disk.Store(measured)
}

func (d *diskUse) view(s *snapshot) *Disk {
	disk := &Disk{MeasuredAt: clock.At(d.at), Tables: httpapi.OrEmpty(d.tables), Sources: []SourceDisk{}}
	var events int64
	for _, t := range d.tables {
		disk.Bytes += t.Bytes
		if slices.Contains(eventTables, t.Table) {
			events += t.Bytes
		}
	}
	accepted, all := map[string]int64{}, int64(0)
	for k, of := range s.over[3] {
		accepted[k.source] += of.accepted
		all += of.accepted
	}
	for _, source := range slices.Sorted(maps.Keys(accepted)) {
		if n := accepted[source]; n > 0 {
			disk.Sources = append(disk.Sources, SourceDisk{source, int64(float64(events) * float64(n) / float64(all))})
		}
	}
	return disk
}
