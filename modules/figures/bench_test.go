package figures

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

// What ten million events of 30 days leave, of benchSources sources with a destination each: two
// processes that receive and two that deliver, each with a row for every minute and source or
// destination. BENCH_FIGURES=full fills minutes for 30 days and hours for 400 (some 10 million
// rows); without it minutes are filled for two days and hours for 30. Answers read a week of
// hours and two hours of minutes at most, so that the older rows only make the tables larger.
const (
	benchSources   = 50
	benchProcesses = 2
	benchEvents    = 10_000_000
	benchMinutes   = 30 * 24 * 60
)

func benchSize() (minutes, hours time.Duration) {
	if os.Getenv("BENCH_FIGURES") == "full" {
		return 30 * day, 400 * day
	}
	return 2 * day, 30 * day
}

const day = 24 * time.Hour

// sampled returns encoded counts of about n events, of a source and of a destination.
func sampled(r *rand.Rand, n int) (source, destination []byte) {
	s, d := newSum(), newSum()
	for range n {
		s.accepted++
		if r.IntN(20) == 0 {
			s.duplicate++
			s.refused[[]string{"no_match", "timestamp_too_old"}[r.IntN(2)]]++
		}
		if r.IntN(10) == 0 {
			d.errors[[]string{"timeout", "http_status", "connection_refused"}[r.IntN(3)]]++
		}
		took := time.Duration(r.ExpFloat64() * float64(40*time.Millisecond))
		d.delivered++
		d.attempts[bucketOf(took)]++
		d.endToEnd[bucketOf(3*took)]++
	}
	return s.encode(), d.encode()
}

// fillFigures stores the rows of a period that ends at now.
func fillFigures(tb testing.TB, db *database.DB, now time.Time) (rows int) {
	tb.Helper()
	minutes, hours := benchSize()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	perMinute := benchEvents / benchMinutes / benchSources / benchProcesses
	insert := func(query string, at []time.Time, step time.Duration, processes int) {
		var samples [32][2][]byte
		for i := range samples {
			samples[i][0], samples[i][1] = sampled(random, max(1, perMinute*int(step/time.Minute)*benchProcesses/processes+random.IntN(3)))
		}
		list := database.NewRows("at timestamptz", "source text", "destination_id uuid", "process_id uuid", "counts bytea")
		store := func() {
			require.NoError(tb, db.InTx(tb.Context(), func(tx *database.Tx) error {
				_, err := tx.ExecRows(tb.Context(), list, query)
				return err
			}))
			list = database.NewRows("at timestamptz", "source text", "destination_id uuid", "process_id uuid", "counts bytea")
		}
		for _, moment := range at {
			for i := range benchSources {
				for p := range processes {
					sample := samples[random.IntN(len(samples))]
					source := fmt.Sprintf("source-%02d", i)
					list.Add(moment, source, noDestination, fmt.Sprintf("01950000-0000-7000-8000-%012d", p), sample[0])
					list.Add(moment, source, fmt.Sprintf("01950000-0000-7000-9000-%012d", i), fmt.Sprintf("01950000-0000-7000-a000-%012d", p), sample[1])
					rows += 2
				}
			}
			if rows%4000 == 0 {
				store()
			}
		}
		store()
	}
	every := func(length, step time.Duration) (list []time.Time) {
		for at := now.Truncate(step); now.Sub(at) < length; at = at.Add(-step) {
			list = append(list, at)
		}
		return list
	}
	insert(saveMinutesSQL, every(minutes, time.Minute), time.Minute, benchProcesses)
	insert(saveHoursSQL, every(hours, time.Hour)[1:], time.Hour, 1)
	for end := now.Truncate(time.Hour); now.Sub(end) < minutes; end = end.Add(-6 * time.Hour) { // a statement has a time limit
		require.NoError(tb, db.InTx(tb.Context(), func(tx *database.Tx) error {
			_, err := tx.Exec(tb.Context(), `UPDATE figures_minutes SET merged = true WHERE at < $1 AND at >= $2`, end, end.Add(-6*time.Hour))
			return err
		}))
	}
	require.NoError(tb, db.InTx(tb.Context(), func(tx *database.Tx) error {
		if _, err := tx.Exec(tb.Context(), lockMergeSQL, time.Unix(0, 0).UTC()); err != nil {
			return err
		}
		if _, err := tx.Exec(tb.Context(), setMergedUntilSQL, now.Truncate(time.Hour)); err != nil {
			return err
		}
		_, err := tx.Exec(tb.Context(), `ANALYZE`)
		return err
	}))
	return rows
}

// BenchmarkStats measures GET /stats with what ten million events leave: the first answer ever,
// those that read the older sums themselves, and a dashboard that asks every few seconds beside
// a running process, of which it reports the percentiles.
func BenchmarkStats(b *testing.B) {
	for name, open := range map[string]func(testing.TB) string{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		b.Run(name, func(b *testing.B) {
			db := testkit.Open(b, open(b))
			now := midday
			b.Logf("%d rows", fillFigures(b, db, now))
			m := process(db, &now, nil)
			server := httpapi.New(httpapi.Config{ManagementKey: secret.New(managementKey)}, httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System, Sources: anySource{}})
			m.Routes(server.Routes())
			ask := func(b *testing.B) {
				r := httptest.NewRequest(http.MethodGet, "/api/v1/stats", nil)
				r.Header.Set(httpapi.HeaderManagementKey, managementKey)
				w := httptest.NewRecorder()
				server.Handler().ServeHTTP(w, r)
				require.Equal(b, http.StatusOK, w.Code)
			}
			b.Run("first", func(b *testing.B) {
				for b.Loop() {
					m.last, m.older, m.hours = nil, nil, map[[2]time.Time]hourSums{}
					ask(b)
				}
			})
			b.Run("unprepared", func(b *testing.B) {
				for b.Loop() {
					m.last, m.older = nil, nil
					ask(b)
				}
			})
			b.Run("dashboard", func(b *testing.B) { askOften(b, m, &now, func() { ask(b) }) })
		})
	}
}

// askOften asks every 2.5 s of a time that passes, while the process reads ahead every 5 s.
func askOften(b *testing.B, m *Module, now *time.Time, ask func()) {
	var took []time.Duration
	began := *now
	for n := 0; b.Loop(); n++ {
		*now = began.Add(time.Duration(n%1440) * 2500 * time.Millisecond)
		if n%2 == 0 {
			b.StopTimer()
			require.NoError(b, m.prepare(b.Context()))
			b.StartTimer()
		}
		at := clock.Monotonic()
		ask()
		took = append(took, clock.Monotonic()-at)
	}
	*now = began
	slices.Sort(took)
	for _, p := range []int{50, 95, 99} {
		b.ReportMetric(float64(took[(len(took)-1)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
	}
}
