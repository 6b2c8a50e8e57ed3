package retention

import (
	"context"
	"fmt"
	"slices"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// Report describes the growing tables, and what is removed next.
type Report struct {
	Database string  `json:"database"` // postgres or sqlite
	Tables   []Table `json:"tables"`
}

// Table is one of them. On PostgreSQL its row count is an estimate, null before the first
// ANALYZE, and its size includes indexes.
type Table struct {
	Name       string      `json:"name"`
	Retention  string      `json:"retention"` // such as 90d, or ForEver
	Rows       *int64      `json:"rows"`
	Bytes      int64       `json:"bytes"`
	Partitions []Partition `json:"partitions"` // none on SQLite
}

// Partition is one range of a table.
type Partition struct {
	Name    string      `json:"name"`
	From    *clock.Time `json:"from"` // null: everything older than To
	To      clock.Time  `json:"to"`
	Rows    int64       `json:"rows"`
	Bytes   int64       `json:"bytes"`
	DropsAt *clock.Time `json:"dropsAt"` // null: never; delayed until all its events are finished
}

// growingTables lists the tables that retention limits, those of the audit trail last.
func growingTables() []string {
	return []string{"webhook_events", eventsTable, "event_states", jobsTable, "delivery_attempts", "idempotency_keys", "replay_requests", "dead_letters", auditTable, groupsTable}
}

// Report reads the sizes of the growing tables.
func (m *Module) Report(ctx context.Context) (Report, error) {
	r := Report{Database: m.d.DB.Dialect.Name}
	partitions, err := m.d.DB.Partitions(ctx)
	if err != nil {
		return r, err
	}
	sizes, err := m.d.DB.TableSizes(ctx, growingTables())
	if err != nil {
		return r, fmt.Errorf("read the tables' sizes: %w", err)
	}
	for _, name := range growingTables() {
		keep := m.cfg.Events
		if slices.Contains(auditTables(), name) {
			keep = m.cfg.Audit
		}
		t := Table{Name: name, Retention: formatRetention(keep), Partitions: []Partition{}}
		for _, p := range partitions {
			if p.Table == name {
				t.add(p, keep)
			}
		}
		at := slices.IndexFunc(sizes, func(s database.TableSize) bool { return s.Table == name })
		if len(t.Partitions) == 0 && at >= 0 {
			t.Rows, t.Bytes = sizes[at].Rows, sizes[at].Bytes
		}
		r.Tables = append(r.Tables, t)
	}
	return r, nil
}

func (t *Table) add(p database.Partition, keep time.Duration) {
	to := id.Time(p.To)
	reported := Partition{Name: p.Name, To: clock.At(to), Rows: p.Rows, Bytes: p.Bytes}
	if p.From != "" {
		from := clock.At(id.Time(p.From))
		reported.From = &from
		if keep > 0 {
			at := clock.At(to.Add(keep))
			reported.DropsAt = &at
		}
	}
	t.Partitions = append(t.Partitions, reported)
	if t.Rows == nil {
		t.Rows = new(int64)
	}
	*t.Rows += p.Rows
	t.Bytes += p.Bytes
}
