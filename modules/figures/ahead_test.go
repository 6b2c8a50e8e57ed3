package figures

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/testkit"
)

// TestSumsThatAreReadAheadCountOnce asks in every state that reading ahead can be in, and counts
// what happened since the beginning that the answer names.
func TestSumsThatAreReadAheadCountOnce(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		now := midday
		m := process(db, &now, nil)
		var counted []time.Time
		for step := range 40 {
			now = now.Add(20 * time.Second)
			m.Received("acme", "accepted", now, 0)
			counted = append(counted, now)
			require.NoError(t, m.flush(t.Context()))
			if step%7 < 3 {
				before := m.older
				require.NoError(t, m.prepare(t.Context()))
				require.Equal(t, before == nil, m.older == nil, "nobody has asked yet")
			}
			s, _ := get[Stats](t, m, "/stats")
			for _, over := range []struct {
				since time.Time
				n     int64
			}{{s.Since.FiveMinutes.Time, s.Gateway.Over.FiveMinutes.Accepted}, {s.Since.Hour.Time, s.Gateway.Over.Hour.Accepted}, {s.Since.Week.Time, s.Gateway.Over.Week.Accepted}} {
				n := int64(0)
				for _, at := range counted {
					if !at.Before(over.since) {
						n++
					}
				}
				require.Equal(t, n, over.n)
			}
			require.LessOrEqual(t, now.Truncate(time.Minute).Sub(s.Since.FiveMinutes.Time), 5*time.Minute+lateBy)
		}
		require.NoError(t, m.prepare(t.Context()))
		ready := m.older
		now = now.Add(time.Minute)
		_, _ = get[Stats](t, m, "/stats")
		require.Same(t, ready, m.older, "an answer reads no older sums while there are some")
		require.NoError(t, m.prepare(t.Context()))
		require.NotSame(t, ready, m.older)
		ready, now = m.older, now.Add(wantedFor)
		require.NoError(t, m.prepare(t.Context()))
		require.Same(t, ready, m.older, "nobody asks any more")
	})
}

func TestTrafficTellsWhatArrivedAndWhatUsuallyDoes(t *testing.T) {
	testkit.EachStore(t, func(t *testing.T, db *database.DB) {
		now, destination := midday, id.New()
		m := process(db, &now, nil)
		count := func(source string, ago time.Duration, times int) {
			m.recorder.floor = 0
			for range times {
				m.Received(source, "accepted", now.Add(-ago), 0)
			}
		}
		for weeks := 1; weeks <= 4; weeks++ {
			for _, source := range []string{"hourly", "daily", "gone"} {
				count(source, time.Duration(weeks)*week, 3)
			}
		}
		count("gone", 30*time.Hour, 1)
		count("daily", 20*time.Hour, 1)
		count("hourly", 50*time.Minute, 1)
		m.Refused("hourly", "no_match", now)
		for range 3 {
			m.Attempted(contract.CountedAttempt{Source: "hourly", DestinationID: destination, At: now, ErrorKind: "dns"})
		}
		m.Attempted(contract.CountedAttempt{Source: "hourly", DestinationID: destination, At: now})
		require.NoError(t, m.flush(t.Context()))
		require.NoError(t, m.merge(t.Context()))

		watcher := process(db, &now, nil)
		traffic := func() map[string]contract.SourceTraffic {
			list, err := watcher.Traffic(t.Context())
			require.NoError(t, err)
			by := map[string]contract.SourceTraffic{}
			for _, s := range list {
				by[s.Source] = s
			}
			return by
		}
		by := traffic()
		require.Equal(t, 20*time.Minute, by["hourly"].UsualGap)
		require.Equal(t, now.Add(-50*time.Minute).Truncate(time.Minute), by["hourly"].LastAccepted.UTC())
		require.Equal(t, now.Add(-20*time.Hour).Truncate(time.Hour).Add(time.Hour), by["daily"].LastAccepted.UTC(), "to the end of the hour, for long ago")
		require.Equal(t, now.Add(-lookedBack), by["gone"].LastAccepted.UTC())
		require.EqualValues(t, 1, by["hourly"].Received)
		require.Equal(t, map[string]int64{"no_match": 1}, by["hourly"].Refused)
		require.Equal(t, map[string]contract.DestinationTraffic{destination: {Attempts: 4, Failed: map[string]int64{"dns": 3}}}, by["hourly"].Destinations)

		late := now.Add(-10 * time.Minute)
		now = now.Add(time.Minute)
		m.recorder.floor = 0
		m.Received("daily", "accepted", late, 0) // stored after the watcher has looked
		require.NoError(t, m.flush(t.Context()))
		require.Equal(t, late.Truncate(time.Minute), traffic()["daily"].LastAccepted.UTC())
		now = now.Add(5 * time.Hour)
		require.Equal(t, late.Truncate(time.Minute), watcher.accepted.last["daily"].UTC())
	})
}
