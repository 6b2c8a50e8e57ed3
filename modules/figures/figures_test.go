package figures

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
	"integration-gateway/platform/testkit"
)

const managementKey = "a-management-key"

// state gives gauges.
type state struct{ gauges *contract.Gauges }

func (s state) Last() (contract.Gauges, bool) {
	if s.gauges == nil {
		return contract.Gauges{}, false
	}
	return *s.gauges, true
}

// process is one that counts, at a time that the test moves.
func process(db *database.DB, now *time.Time, gauges *contract.Gauges) *Module {
	return New(Config{FreshFor: time.Nanosecond}, Deps{DB: db, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return *now }, Gauges: state{gauges}})
}

// anySource knows each source.
type anySource struct{}

func (anySource) IntegrationsOf(_ context.Context, sources []string) (map[string]string, error) {
	ids := map[string]string{}
	for _, s := range sources {
		ids[s] = id.New()
	}
	return ids, nil
}

func handler(t testing.TB, m *Module) http.Handler {
	server := httpapi.New(httpapi.Config{ManagementKey: secret.New(managementKey)}, httpapi.Deps{Log: slog.New(slog.DiscardHandler), Now: clock.System, Sources: anySource{}})
	m.Routes(server.Routes())
	return testkit.Checked(t, server.Handler())
}

// get reads a route's data, or the text of its error.
func get[T any](t testing.TB, m *Module, path string) (data T, problem string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/api/v1"+path, nil)
	r.Header.Set(httpapi.HeaderManagementKey, managementKey)
	w := httptest.NewRecorder()
	handler(t, m).ServeHTTP(w, r)
	var answer struct {
		Data  T
		Error struct{ Message string }
	}
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer), w.Body.String())
	return answer.Data, answer.Error.Message
}

// midday is within an hour and a minute.
var midday = time.Date(2026, 3, 10, 12, 34, 56, 0, time.UTC)

func TestFiguresTellWhatHappened(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		now, destination := midday, id.New()
		gauges := &contract.Gauges{At: now, Sources: []string{"acme", "silent"}, Quarantined: map[string]int64{"acme": 7},
			Jobs: map[string]int64{"due": 2, "scheduled": 1, "parked": 4}, Partitions: map[string]float64{"audit_entries": 9},
			Check:        &contract.CheckSummary{StartedAt: clock.At(now), FinishedAt: clock.At(now), Holds: true, Found: map[string]int{}},
			Destinations: []contract.DestinationGauges{{ID: destination, Name: "acme/1", Source: "acme", Due: 2, Parked: 4, ParkedReason: "breaker_open", Breaker: "open", BreakerUntil: &now}}}
		m := process(db, &now, gauges)
		for _, outcome := range []string{"accepted", "accepted", "duplicate", "handshake", "refused", "failed"} {
			m.Received("acme", outcome, now, time.Millisecond)
		}
		m.Refused("acme", "no_match", now)
		attempt := contract.CountedAttempt{Source: "acme", DestinationID: destination, At: now, Took: 100 * time.Millisecond, EndToEnd: 2 * time.Second}
		m.Attempted(attempt)
		attempt.ErrorKind = "timeout"
		m.Attempted(attempt)
		require.NoError(t, m.flush(t.Context()))

		now = now.Add(time.Second)
		s, problem := get[Stats](t, m, "/stats")
		require.Empty(t, problem)
		require.Len(t, s.Sources, 2)
		acme := s.Sources[0]
		require.Equal(t, "silent", s.Sources[1].Source, "an active source without figures is there too")
		for _, over := range []Figures{acme.Over.FiveMinutes, acme.Over.Hour, acme.Over.Day, acme.Over.Week, s.Gateway.Over.Week} {
			require.EqualValues(t, []int64{2, 1, 1, 1, 1, 1, 1}, []int64{over.Accepted, over.Duplicate, over.Handshakes, over.Refused, over.Failed, over.Delivered, over.FailedAttempts})
			require.Equal(t, map[string]int64{"no_match": 1}, over.RefusedBy)
			require.Equal(t, map[string]int64{"timeout": 1}, over.FailedBy)
			require.InEpsilon(t, 100, *over.Attempts.P95, .07)
			require.InEpsilon(t, 2_000, *over.EndToEnd.P50, .07)
			require.EqualValues(t, 1, over.EndToEnd.Count, "a failed attempt delivers nothing")
		}
		require.Nil(t, s.Sources[1].Over.Week.Attempts.P50)
		require.Equal(t, SourceNow{Waiting: 2, Due: 2, Parked: 4, Quarantine: 7, Breakers: 1}, acme.Now)
		require.Len(t, s.Destinations, 1)
		require.Equal(t, "breaker_open", *s.Destinations[0].Now.ParkedReason)
		require.EqualValues(t, 1, s.Destinations[0].Over.Hour.Delivered)
		require.EqualValues(t, 3, s.Gateway.Now.Waiting)
		require.InEpsilon(t, 2/s.At.Sub(s.Since.FiveMinutes.Time).Seconds(), s.Gateway.Rates.Accepted, .001)
		require.Positive(t, s.Gateway.Disk.Bytes)
		require.Equal(t, "acme", s.Gateway.Disk.Sources[0].Source)
		require.True(t, s.Gateway.Check.Holds)

		one, problem := get[Stats](t, m, "/stats?source=acme")
		require.Empty(t, problem)
		require.Nil(t, one.Gateway, "a restriction to a source shows nothing of the whole gateway")
	})
}

// TestNothingCountsTwiceAndAKilledProcessLosesOneInterval stores the same figures again and
// again, as after a commit whose answer was lost, and drops a process between two rounds.
func TestNothingCountsTwiceAndAKilledProcessLosesOneInterval(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		now := midday
		a, b := process(db, &now, nil), process(db, &now, nil)
		for range 10 {
			a.Received("acme", "accepted", now, 0)
			b.Received("acme", "accepted", now, 0)
			require.NoError(t, a.flush(t.Context()))
			for _, c := range a.recorder.cells {
				c.stored = 0 // the answer of the commit was lost
			}
			require.NoError(t, a.flush(t.Context()))
			require.NoError(t, b.flush(t.Context()))
		}
		a.Received("acme", "accepted", now, 0) // and then it is killed
		s, _ := get[Stats](t, b, "/stats")
		require.EqualValues(t, 20, s.Gateway.Over.FiveMinutes.Accepted)

		again := process(db, &now, nil) // it starts anew within the same minute
		again.Received("acme", "accepted", now, 0)
		require.NoError(t, again.flush(t.Context()))
		now = now.Add(time.Millisecond)
		s, _ = get[Stats](t, b, "/stats")
		require.EqualValues(t, 21, s.Gateway.Over.FiveMinutes.Accepted, "its row replaces none of the first")
	})
}

// TestAProcessThatStopsStoresWhatIsLeft: only a process that is killed loses figures.
func TestAProcessThatStopsStoresWhatIsLeft(t *testing.T) {
	db := testkit.Open(t, testkit.SQLite(t))
	now := midday
	m := process(db, &now, nil)
	m.cfg.FlushEvery = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- m.Run(ctx) }()
	m.Received("acme", "accepted", now, 0)
	cancel()
	require.NoError(t, <-stopped)
	s, _ := get[Stats](t, m, "/stats")
	require.EqualValues(t, 1, s.Gateway.Over.FiveMinutes.Accepted)
}

// TestFiguresOfAnOutageAreStoredAfterIt fails to store and counts on.
func TestFiguresOfAnOutageAreStoredAfterIt(t *testing.T) {
	db := testkit.Open(t, testkit.SQLite(t))
	now := midday
	m := process(db, &now, nil)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for range 90 { // minutes
		m.Refused("acme", "no_match", now)
		require.Error(t, m.flush(over))
		now = now.Add(time.Minute)
	}
	require.NoError(t, m.flush(t.Context()))
	require.LessOrEqual(t, len(m.recorder.cells), settleAfter+1, "what is stored and over is forgotten")
	s, _ := get[Stats](t, m, "/stats")
	require.EqualValues(t, 90, s.Gateway.Over.Day.Refused)
}

// TestAClockThatIsSetBackOverwritesNothing counts in the same minute twice, with its first
// row stored and forgotten.
func TestAClockThatIsSetBackOverwritesNothing(t *testing.T) {
	db := testkit.Open(t, testkit.SQLite(t))
	now := midday
	m := process(db, &now, nil)
	count := func() {
		m.Received("acme", "accepted", now, 0)
		require.NoError(t, m.flush(t.Context()))
	}
	count()
	now = midday.Add(3 * time.Hour)
	count()
	now = midday
	require.NoError(t, m.flush(t.Context())) // notices it
	count()
	now = midday.Add(3 * time.Hour)
	s, _ := get[Stats](t, m, "/stats")
	require.EqualValues(t, 3, s.Gateway.Over.Day.Accepted)
}

// TestMergedHoursAnswerAsTheirMinutes counts at random times of nine days, in an order of its
// own, merges now and then, and compares each window and a series with what was counted.
func TestMergedHoursAnswerAsTheirMinutes(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		random := rand.New(rand.NewPCG(3, 4))
		now := midday
		start := now.Add(-9 * 24 * time.Hour)
		var counted []time.Time
		for round := range 12 {
			m := process(db, &now, nil)
			for range 60 {
				at := start.Add(time.Duration(random.Int64N(int64(now.Sub(start)))))
				if random.IntN(3) == 0 {
					at = now.Add(-time.Duration(random.Int64N(int64(90 * time.Minute))))
				}
				m.Received("acme", "accepted", at, 0)
				counted = append(counted, at)
			}
			require.NoError(t, m.flush(t.Context()))
			if round%2 == 0 {
				require.NoError(t, m.merge(t.Context()))
			}
		}
		m := process(db, &now, nil)
		require.NoError(t, m.merge(t.Context()))
		s, _ := get[Stats](t, m, "/stats")
		since := func(t time.Time) (n int64) {
			for _, at := range counted {
				if !at.Truncate(time.Minute).Before(t) {
					n++
				}
			}
			return n
		}
		over := s.Gateway.Over
		require.Equal(t, since(s.Since.FiveMinutes.Time), over.FiveMinutes.Accepted)
		require.Equal(t, since(s.Since.Hour.Time), over.Hour.Accepted)
		require.Equal(t, since(s.Since.Day.Time), over.Day.Accepted)
		require.Equal(t, since(s.Since.Week.Time), over.Week.Accepted)
		for _, step := range []string{"15m", "1h", "6h"} {
			series, problem := get[Series](t, m, fmt.Sprintf("/stats/series?from=%s&to=%s&step=%s", start.Format(time.RFC3339), now.Format(time.RFC3339), step))
			require.Empty(t, problem)
			var sum int64
			for _, p := range series.Points {
				sum += p.Accepted
			}
			require.EqualValues(t, len(counted), sum, step)
		}
	})
}

// TestProcessesThatMergeAndCountAtOnceLoseNothing lets several do both.
func TestProcessesThatMergeAndCountAtOnceLoseNothing(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		now := midday
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for i := range 20 {
					m := process(db, &now, nil) // what it counts of long ago is counted now if it has stored before
					m.Received("acme", "accepted", now.Add(-time.Duration(2+i%3)*time.Hour), 0)
					if m.flush(context.Background()) != nil || m.merge(context.Background()) != nil {
						t.Error("storing or merging failed")
					}
				}
			})
		}
		all.Wait()
		m := process(db, &now, nil)
		require.NoError(t, m.merge(t.Context()))
		var unmerged []int
		require.NoError(t, db.Select(t.Context(), &unmerged, "SELECT 1 FROM figures_minutes WHERE NOT merged"))
		require.Empty(t, unmerged)
		hours, err := m.sumOf(t.Context(), selectHoursSQL, now.Add(-24*time.Hour), now)
		require.NoError(t, err)
		require.EqualValues(t, 80, hours[subject{"acme", noDestination}].accepted)
	})
}

func TestOldFiguresAreRemoved(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		now := midday
		m := process(db, &now, nil)
		for _, age := range []time.Duration{401 * 24, 399 * 24, 31 * 24, 29 * 24} {
			m.Received("acme", "accepted", now.Add(-age*time.Hour), 0)
		}
		require.NoError(t, m.flush(t.Context()))
		require.NoError(t, m.merge(t.Context()))
		for table, want := range map[string]int{"figures_minutes": 1, "figures_hours": 3} {
			var rows []int
			require.NoError(t, db.Select(t.Context(), &rows, "SELECT 1 FROM "+table))
			require.Len(t, rows, want, table)
		}
	})
}

func TestASeriesIsBounded(t *testing.T) {
	now := midday
	m := process(testkit.Open(t, testkit.SQLite(t)), &now, nil)
	for query, want := range map[string]string{
		"?from=2026-03-10T12:00:00Z&to=2026-03-10T11:00:00Z":         "from must be before to.",
		"?from=2024-03-10T12:00:00Z":                                 "from must be at most 400 days ago; figures are not kept longer.",
		"?to=2026-03-11T12:00:00Z":                                   "to must not be in the future.",
		"?from=2026-01-01T00:00:00Z&step=5m":                         "step must be at least 1h for a period that began more than 30 days ago.",
		"?from=2026-03-03T00:00:00Z&step=1m":                         "step: of 1m gives",
		"?step=7m":                                                   "step must be one of 1m, 5m, 15m, 1h, 6h, 24h.",
		"?destination=7":                                             "destination must be a UUID.",
		"?from=2026-03-10T11:00:00Z&to=2026-03-10T12:00:00Z&step=1m": "",
	} {
		_, problem := get[Series](t, m, "/stats/series"+query)
		if query == "?from=2026-03-03T00:00:00Z&step=1m" {
			require.Contains(t, problem, "at most 1000 are allowed; use 15m")
			continue
		}
		require.Equal(t, want, problem, query)
	}
	s, _ := get[Series](t, m, "/stats/series")
	require.Equal(t, "1m", s.Step)
	require.Len(t, s.Points, 61, "an hour, and the minutes that its ends are in")
	s, _ = get[Series](t, m, "/stats/series?from=2025-03-01T00:00:00Z")
	require.LessOrEqual(t, len(s.Points), maxPoints)
}
