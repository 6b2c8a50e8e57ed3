package main

import (
	"encoding/binary"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the documents' tables from docs/performance.json")

// TestTheTablesOfFigures compares the tables of docs/performance.md and docs/deployment.md
// with docs/performance.json.
func TestTheTablesOfFigures(t *testing.T) {
	root := filepath.Join("..", "..")
	f, err := readFigures(root)
	require.NoError(t, err)
	require.NotZero(t, f.Servers.Database)
	for _, s := range f.sections() {
		if *update {
			require.NoError(t, s.write(root, s.text))
		}
		text, err := os.ReadFile(filepath.Join(root, s.document))
		require.NoError(t, err)
		require.Contains(t, string(text), s.begin+"\n\n"+s.text+"\n"+s.end, "go test ./test/bench -run TestTheTablesOfFigures -update")
	}
}

func TestBytesAreOfAnEvent(t *testing.T) {
	before := footprint{size: 1000, wal: 5000, tables: []tableStorage{{Name: "events", Heap: 500, Indexes: 300, Inserted: 5}, {Name: "keys", Heap: 200}}}
	after := footprint{size: 4000, wal: 9000, tables: []tableStorage{
		{Name: "keys", Heap: 200}, {Name: "jobs", Heap: 100, Toast: 200, Indexes: 100, Inserted: 10, Updated: 20, HOT: 5, Dead: 15},
		{Name: "events", Heap: 2500, Indexes: 900, Inserted: 15},
	}}
	s := between(before, after, 10)
	require.InDelta(t, 300, s.Database, 0.001)
	require.InDelta(t, 400, s.WAL, 0.001)
	require.Equal(t, []tableStorage{
		{Name: "events", Heap: 200, Indexes: 60, Inserted: 1},
		{Name: "jobs", Heap: 10, Toast: 20, Indexes: 10, Inserted: 1, Updated: 2, HOT: 0.5, Dead: 1.5},
	}, s.Tables, "the largest first, without the one that did not grow")
	require.Equal(t, "25 %", s.Tables[1].share())
	require.Equal(t, "–", s.Tables[0].share())
}

func TestAMedianTurnKeepsItsTables(t *testing.T) {
	s := medianStorage([]storage{{Database: 30, WAL: 1, Events: 3}, {Database: 10, WAL: 2, Events: 1}, {Database: 20, WAL: 9, Events: 2}})
	require.Equal(t, storage{Database: 20, WAL: 2, Events: 2}, s)
}

// index makes both copies of a WAL index's header.
func index(salt, frames uint32, pageSize uint16) []byte {
	one := make([]byte, walIndexHeader)
	one[12] = 1
	binary.NativeEndian.PutUint16(one[14:], pageSize)
	binary.NativeEndian.PutUint32(one[16:], frames)
	binary.BigEndian.PutUint32(one[32:], salt)
	return append(one, one...)
}

func TestTheWALMeterCountsFramesThatWereWrittenOver(t *testing.T) {
	m := &walMeter{}
	const frame = 4096 + 24
	m.note(index(7, 10, 4096))
	m.note(index(7, 100, 4096))
	require.InDelta(t, 100*frame, m.bytes(), 0.1)
	m.note(index(8, 20, 4096)) // it started again
	require.InDelta(t, 120*frame, m.bytes(), 0.1)
	torn := index(8, 999, 4096)
	torn[16]++
	m.note(torn)
	require.InDelta(t, 120*frame, m.bytes(), 0.1)
	m.note(index(10, 5, 4096)) // the ninth was not seen: as large as the two before, 60 on average
	require.InDelta(t, (100+20+60+5)*frame, m.bytes(), 0.1)
	m.note(index(1<<31, 1, 4096)) // a new file, with a number of its own
	require.InDelta(t, (100+20+5+1+125.0/3)*frame, m.bytes(), 0.1)
	m.note(index(1<<30, 0, 0)) // an empty one, made by a reader of the closed database
	require.InDelta(t, (126+126.0/4)*frame, m.bytes(), 0.1)
	large := &walMeter{}
	large.note(index(1, 1, 1)) // 65,536 bytes, by its own convention
	require.InDelta(t, 65536+24, large.bytes(), 0.1)
}

func sample() (figures, []result) {
	turn := measured{acceptRate: 20, deliverRate: 10, acceptance: percentiles{p99: 6 * time.Millisecond}, delivery: percentiles{p99: 14 * time.Millisecond},
		costs: []cost{{name: "dev", cpu: 0.4, memory: 130 << 20}, {name: "generator", cpu: 9}}}
	bare := measured{acceptRate: 100, acceptance: percentiles{p99: 2 * time.Millisecond}}
	var list []result
	for _, w := range []workload{
		{setup: onServers, mode: accept, loop: closed}, {setup: onServers, mode: deliver, loop: closed}, {setup: onServers, mode: deliver, loop: open, rate: 1822},
		{setup: embedded, mode: deliver, loop: closed}, {setup: embedded, mode: deliver, loop: open, rate: 1613},
	} {
		list = append(list, result{workload: w, ceilings: []measured{bare, bare}, turns: []measured{turn}})
	}
	f := figures{
		Servers: storage{Events: 50000, Database: 2000, WAL: 3401, Tables: []tableStorage{
			{Name: "events", Heap: 1000, Indexes: 500, Inserted: 1, Updated: 2, HOT: 1}, {Name: "audit_entries", Heap: 400},
		}},
		Peers: map[string]storage{"Convoy": {Database: 9000, WAL: 12000}},
	}
	f.add(list)
	return f, list
}

func TestFiguresOfAFullRun(t *testing.T) {
	f, _ := sample()
	require.Equal(t, rates{Accepted: 0.2, Delivered: 0.1, EmbeddedAccepted: 0.2, EmbeddedDelivered: 0.1, DevMegabytes: 130, AcceptanceP99: 3, ArrivalP99: 14}, f.Rates)
	require.Equal(t, map[string]float64{"dev": 0.4}, f.CPU[embedded], "without the generator")
	kept := f
	kept.add(nil)
	require.Equal(t, f, kept, "measuring bytes alone keeps the rates")
}

func TestABarIsHeldOrMissed(t *testing.T) {
	f, _ := sample()
	got := map[string][5]string{}
	for _, b := range bars() {
		row := b.cells(f)
		got[b.what] = row
	}
	require.Equal(t, [5]string{"bytes of database an event, servers", "5139", "2000", "≤ 2300", "held"}, got["bytes of database an event, servers"])
	require.Equal(t, "missed", got["bytes of WAL an event, servers"][4], "3,401 of 3,400")
	require.Equal(t, [5]string{"accepted/s, embedded: ratio", "0.099", "0.200", "≥ 0.160", "held"}, got["accepted/s, embedded: ratio"])
	require.Equal(t, "missed", got["delivered/s, servers: ratio"][4])
	require.Equal(t, "missed", got["peak MB of dev at full speed"][4])
	require.Equal(t, "–", got["bytes of database an event, embedded"][4], "it has no bar")
	require.Equal(t, "not measured", bars()[0].cells(figures{})[4])
}

func TestTheShortTextFitsATerminal(t *testing.T) {
	f, results := sample()
	text := short(f, results)
	require.Contains(t, text, "held")
	require.Contains(t, text, "servers deliver open at 1822/s")
	require.Contains(t, text, "Convoy: 9000 bytes")
	for line := range strings.Lines(text) {
		require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), 80, line)
	}
}

func TestWhatADatabaseHoldsInTheLongRun(t *testing.T) {
	f, _ := sample()
	// 1,500 bytes and the 100 that no table accounts for, for 97 days; 400 for 400 days.
	want := (1600*97 + 400*400) / daysInMonth * 1e6 / 1e9
	require.InDelta(t, want, f.Servers.kept(1_000_000), 0.001)
	text := f.costs()
	require.Contains(t, text, "| 1,000,000 | PostgreSQL, RabbitMQ, Redis | 0.3 GB | 2.0 GB | 3.4 GB | 10 GB | $0.83 | 0.1 h |")
	require.Contains(t, text, "| Convoy | 9,000 | 12,000 | 29 GB, 287 GB, 2,870 GB | $2.30, $23, $230 |")
	require.NotContains(t, text, "| WebhookX |", "it was not measured")
}

func TestAPeersScriptCommitsAfterEachStep(t *testing.T) {
	for _, p := range peers() {
		require.Equal(t, len(p.steps), strings.Count(p.script(5), "COMMIT;"))
	}
	body, err := peerBody()
	require.NoError(t, err)
	require.Len(t, body, payloadBytes)
	require.Contains(t, body, strings.Repeat("0", digits))
}
