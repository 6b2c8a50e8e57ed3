package figures

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// TestADurationIsInItsBucket tries both sides of every bucket's boundary.
func TestADurationIsInItsBucket(t *testing.T) {
	for i := range buckets - 1 {
		start := bucketStart(i)
		require.Equal(t, i, bucketOf(start), "the beginning of %d", i)
		require.Equal(t, i, bucketOf(bucketStart(i+1)-1), "the end of %d", i)
		require.LessOrEqual(t, bucketStart(i+1)-start, max(unit, start/subBuckets), "no bucket is wider than an eighth of its beginning")
	}
	require.Equal(t, 0, bucketOf(-time.Second), "a clock was set back")
	require.Equal(t, buckets-1, bucketOf(365*24*time.Hour))
}

// TestAQuantileIsWithinASixteenth compares with the exact quantiles of random durations.
func TestAQuantileIsWithinASixteenth(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var d distribution
	var all []time.Duration
	for range 5_000 {
		took := time.Duration(1<<random.IntN(24)+random.IntN(1<<20)) * time.Microsecond
		all = append(all, took)
		d[bucketOf(took)]++
	}
	slices.Sort(all)
	for _, q := range []float64{.5, .95, .99} {
		exact := all[int(q*float64(len(all))+.5)-1]
		require.InEpsilon(t, float64(exact), float64(d.quantile(q, d.count())), 1./16+.01, "%v", q)
	}
	require.Equal(t, Quantiles{}, (&distribution{}).quantiles(), "without durations there are no quantiles")
}

func TestCountsAreReadAsTheyWereWritten(t *testing.T) {
	c := counts{accepted: 1, duplicate: 2, handshakes: 3, failed: 4, delivered: 4_000_000_000}
	for range 3 {
		c.refused = increase(c.refused, "no_match")
		c.errors = increase(c.errors, "timeout")
	}
	c.attempts = observe(observe(c.attempts, 0), buckets-1)
	encoded := c.encode()
	s := newSum()
	require.NoError(t, s.add(encoded))
	require.NoError(t, s.add(encoded))
	again := newSum()
	require.NoError(t, again.add(s.encode()))
	require.Equal(t, s, again)
	require.Equal(t, int64(8_000_000_000), s.delivered)
	require.Equal(t, map[string]int64{"no_match": 6}, s.refused)
	require.Equal(t, map[string]int64{"timeout": 6}, s.errors)
	require.Equal(t, int64(4), s.attempts.count())
	require.Zero(t, s.endToEnd.count())
}

func TestDamagedCountsAreAnError(t *testing.T) {
	c := counts{accepted: 300, refused: map[string]uint32{"a_reason": 1}}
	c.attempts = observe(nil, 7)
	encoded := c.encode()
	for length := range encoded {
		require.ErrorIs(t, newSum().add(encoded[:length]), errDamaged, "%d bytes", length)
	}
	require.ErrorIs(t, newSum().add([]byte{2, 0, 0}), errDamaged, "another format")
	require.ErrorIs(t, newSum().add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0x7f, 1, 0}), errDamaged, "a bucket that does not exist")
}

func TestNamesOfARowAreBounded(t *testing.T) {
	var names map[string]uint32
	for i := range 1_000 {
		names = increase(names, string(rune('a'+i)))
	}
	require.LessOrEqual(t, len(names), maxNames+1)
	require.EqualValues(t, 1_000-maxNames, names[other])
}

// observations is what the hot path reports of one webhook.
func observations(m *Module, at time.Time) {
	m.Received("acme", "accepted", at, time.Millisecond)
	m.Refused("acme", "no_match", at)
	m.Attempted(contract.CountedAttempt{Source: "acme", DestinationID: "d", At: at, Took: time.Millisecond, EndToEnd: time.Second})
	m.Attempted(contract.CountedAttempt{Source: "acme", DestinationID: "d", At: at, Took: time.Millisecond, ErrorKind: "timeout"})
}

func TestCountingAllocatesNothing(t *testing.T) {
	m := &Module{recorder: newRecorder()}
	at := clock.System()
	observations(m, at)
	require.Zero(t, testing.AllocsPerRun(1_000, func() { observations(m, at) }))
}

func BenchmarkCounting(b *testing.B) {
	m := &Module{recorder: newRecorder()}
	at := clock.System()
	b.ReportAllocs()
	for b.Loop() {
		observations(m, at)
	}
}

// TestMemoryIsBounded counts for more sources than there may be.
func TestMemoryIsBounded(t *testing.T) {
	m := &Module{recorder: newRecorder()}
	at := clock.System()
	for i := range maxCells + 100 {
		m.Received(time.Duration(i).String(), "accepted", at, 0)
	}
	require.Len(t, m.recorder.cells, maxCells+1)
	require.EqualValues(t, 100, m.recorder.cells[key{at.Unix() / 60, otherSource, noDestination}].accepted)
}
