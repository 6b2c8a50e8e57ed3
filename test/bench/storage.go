package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
)

// storage is what events that went straight through left behind, after a checkpoint.
type storage struct {
	Events   int            `json:"events"`
	Database float64        `json:"database"` // bytes an event, as are the following
	WAL      float64        `json:"wal"`
	Tables   []tableStorage `json:"tables"`
}

// tableStorage is one table with all its partitions, for each event.
type tableStorage struct {
	Name     string  `json:"name"     db:"name"`
	Heap     float64 `json:"heap"     db:"heap"` // bytes, as are the following two
	Toast    float64 `json:"toast"    db:"toast"`
	Indexes  float64 `json:"indexes"  db:"indexes"`
	Inserted float64 `json:"inserted" db:"inserted"` // rows; PostgreSQL only, as is the rest
	Updated  float64 `json:"updated"  db:"updated"`
	HOT      float64 `json:"hot"      db:"hot"`  // updates that needed no index entry
	Dead     float64 `json:"dead"     db:"dead"` // versions not yet vacuumed
}

func (t tableStorage) bytes() float64 { return t.Heap + t.Toast + t.Indexes }

// footprint is the size of a database at one moment, in all.
type footprint struct {
	size   float64 // of the tables, or of the file
	wal    float64 // bytes ever written
	tables []tableStorage
}

// between returns what n events added, the largest table first. Tables that did not grow
// are left out.
func between(before, after footprint, n int) storage {
	each := func(late, early float64) float64 { return (late - early) / float64(n) }
	s := storage{Events: n, Database: each(after.size, before.size), WAL: each(after.wal, before.wal)}
	for _, t := range after.tables {
		var old tableStorage
		if i := slices.IndexFunc(before.tables, func(o tableStorage) bool { return o.Name == t.Name }); i >= 0 {
			old = before.tables[i]
		}
		grown := tableStorage{
			Name: t.Name, Heap: each(t.Heap, old.Heap), Toast: each(t.Toast, old.Toast), Indexes: each(t.Indexes, old.Indexes),
			Inserted: each(t.Inserted, old.Inserted), Updated: each(t.Updated, old.Updated), HOT: each(t.HOT, old.HOT), Dead: each(t.Dead, old.Dead),
		}
		if grown.bytes() >= 1 {
			s.Tables = append(s.Tables, grown)
		}
	}
	slices.SortFunc(s.Tables, func(a, b tableStorage) int { return int(b.bytes() - a.bytes()) })
	return s
}

// medianStorage returns the turn with the median size.
func medianStorage(turns []storage) storage {
	sorted := slices.SortedFunc(slices.Values(turns), func(a, b storage) int { return int(a.Database - b.Database) })
	s := sorted[(len(sorted)-1)/2]
	var wal []float64
	for _, t := range turns {
		wal = append(wal, t.WAL)
	}
	s.WAL = median(wal)
	return s
}

// measureStorage sends events through a new gateway, several times, and measures what they
// leave.
func (b *bench) measureStorage(ctx context.Context, w workload, setup string, events int) (storage, error) {
	w.setup, w.mode, w.loop, w.rate = setup, deliver, closed, 0
	b.say("bytes of %d events, %s:", events, setup)
	var turns []storage
	for range w.repeats {
		s, err := b.storageTurn(ctx, w, events)
		if err != nil {
			return storage{}, fmt.Errorf("measure the bytes of events, %s: %w", setup, err)
		}
		b.say("  database %5.0f, WAL %5.0f bytes an event", s.Database, s.WAL)
		turns = append(turns, s)
	}
	return medianStorage(turns), nil
}

func (b *bench) storageTurn(ctx context.Context, w workload, events int) (s storage, err error) {
	b.turn++
	g, err := b.install(ctx, w, b.turn)
	defer func() { err = firstOf(err, g.remove(context.WithoutCancel(ctx))) }()
	if err != nil {
		return s, err
	}
	measure := g.footprint
	if w.setup == embedded {
		meter := meterWAL(g.sqliteFile())
		defer meter.stop()
		measure = func(ctx context.Context) (footprint, error) { return g.sqliteFootprint(ctx, meter) }
	}
	before, err := measure(ctx)
	if err != nil {
		return s, err
	}
	b.marks++
	l := newLedger(fmt.Sprintf("bench%d-%d", os.Getpid(), b.marks), events)
	b.receiver.ledger.Store(l)
	load, err := newLoad(l, g.addr, w)
	if err != nil {
		return s, err
	}
	defer load.close()
	load.run(ctx, fillsWithin)
	(&loadRun{ledger: l}).waitForArrivals(ctx)
	if n := l.missing(); n > 0 {
		return s, fmt.Errorf("%d accepted webhooks did not arrive", n)
	}
	if err := g.stop(); err != nil { // stores the last outcomes, and the sessions report their statistics
		return s, err
	}
	after, err := measure(ctx)
	if err != nil {
		return s, err
	}
	accepted := 0
	for i := range l.records {
		if l.records[i].accepted() {
			accepted++
		}
	}
	if accepted == 0 {
		return s, errors.New("no webhook was accepted")
	}
	return between(before, after, accepted), ctx.Err()
}

// A table's heap includes its maps of free space and of visibility.
const selectTablesSQL = `
SELECT COALESCE(pg_partition_root(c.oid), c.oid)::regclass::text AS name,
       sum(pg_table_size(c.oid) - COALESCE(pg_total_relation_size(NULLIF(c.reltoastrelid, 0)), 0)) AS heap,
       sum(COALESCE(pg_total_relation_size(NULLIF(c.reltoastrelid, 0)), 0)) AS toast,
       sum(pg_indexes_size(c.oid)) AS indexes,
       sum(s.n_tup_ins) AS inserted, sum(s.n_tup_upd) AS updated, sum(s.n_tup_hot_upd) AS hot, sum(s.n_dead_tup) AS dead
FROM   pg_class c
JOIN   pg_stat_user_tables s ON s.relid = c.oid
WHERE  c.relkind = 'r'
GROUP  BY 1`

const selectWrittenSQL = `
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8`

// footprint reads the size of the gateway's PostgreSQL database after a checkpoint.
func (g *gateway) footprint(ctx context.Context) (footprint, error) {
	return footprintOf(ctx, g.records, func() error { return g.admin(ctx, "CHECKPOINT") })
}

func footprintOf(ctx context.Context, db *database.DB, checkpoint func() error) (f footprint, err error) {
	if err := checkpoint(); err != nil {
		return f, err
	}
	if err := db.Select(ctx, &f.tables, selectTablesSQL); err != nil {
		return f, fmt.Errorf("read the tables' sizes: %w", err)
	}
	for _, t := range f.tables {
		f.size += t.bytes()
	}
	if err := db.Get(ctx, &f.wal, selectWrittenSQL); err != nil {
		return f, fmt.Errorf("read the WAL's position: %w", err)
	}
	return f, nil
}

func (g *gateway) sqliteFile() string { return filepath.Join(g.dir, "data", "gateway.db") }

// Overflow pages hold what does not fit into a row's own page, as TOAST does in PostgreSQL.
const selectSQLiteTablesSQL = `
SELECT m.tbl_name AS name,
       COALESCE(sum(CASE WHEN m.type = 'table' AND s.pagetype <> 'overflow' THEN s.pgsize END), 0) AS heap,
       COALESCE(sum(CASE WHEN m.type = 'table' AND s.pagetype = 'overflow' THEN s.pgsize END), 0) AS toast,
       COALESCE(sum(CASE WHEN m.type = 'index' THEN s.pgsize END), 0) AS indexes
FROM   dbstat s
JOIN   sqlite_schema m ON m.name = s.name
GROUP  BY m.tbl_name`

const selectSQLiteSizeSQL = `
SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()`

// sqliteFootprint reads the size of the embedded gateway's file. Pages that are still in
// the WAL count as part of it.
func (g *gateway) sqliteFootprint(ctx context.Context, meter *walMeter) (f footprint, err error) {
	db, err := database.Open(database.Config{URL: "sqlite://" + g.sqliteFile()}, clock.System)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Select(ctx, &f.tables, selectSQLiteTablesSQL); err != nil {
		return f, fmt.Errorf("read the tables' sizes: %w", err)
	}
	if err := db.Get(ctx, &f.size, selectSQLiteSizeSQL); err != nil {
		return f, fmt.Errorf("read the file's size: %w", err)
	}
	f.wal = meter.bytes()
	return f, nil
}

// String formats s in Markdown.
func (s storage) String() string {
	var b strings.Builder
	b.WriteString("| table | bytes | heap | toast | indexes | rows | updates | HOT | dead |\n" +
		"| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, t := range s.Tables {
		rows := []string{fmt.Sprintf("%.2f", t.Inserted), fmt.Sprintf("%.2f", t.Updated), t.share(), fmt.Sprintf("%.2f", t.Dead)}
		if t.Inserted == 0 {
			rows = []string{"–", "–", "–", "–"}
		}
		fmt.Fprintf(&b, "| `%s` | %.0f | %.0f | %.0f | %.0f | %s |\n", t.Name, t.bytes(), t.Heap, t.Toast, t.Indexes, strings.Join(rows, " | "))
	}
	return b.String()
}

// share is the part of the updates that were HOT.
func (t tableStorage) share() string {
	if t.Updated < 0.005 {
		return "–"
	}
	return fmt.Sprintf("%.0f %%", 100*t.HOT/t.Updated)
}
