package main

import (
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the tables of docs/scaling.md")

const (
	root  = "../.."
	begin = "<!-- written from performance.json: go test ./test/scaling -run TestTheDocumentHasTheTables -update -->\n"
	end   = "<!-- end of what was written from performance.json -->"
)

// TestTheDocumentHasTheTables holds that docs/scaling.md follows from what was measured.
func TestTheDocumentHasTheTables(t *testing.T) {
	m, err := read(root)
	require.NoError(t, err)
	path := filepath.Join(root, "docs", "scaling.md")
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	head, rest, found := strings.Cut(string(page), begin)
	require.True(t, found, "the document has no %q", begin)
	_, tail, found := strings.Cut(rest, end)
	require.True(t, found, "the document has no %q", end)
	text := head + begin + "\n" + tables(m) + "\n" + end + tail
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return
	}
	require.Equal(t, string(page), text, "run go test ./test/scaling -run TestTheDocumentHasTheTables -update")
}

// TestQueuesAreThoseOfTheory compares a station of one core with what is known of it: the time
// in an M/M/1 queue is exponentially distributed with a mean of 1/(μ-λ).
func TestQueuesAreThoseOfTheory(t *testing.T) {
	const perSecond, takes = 1000.0, 0.0008
	s, chance, now := newStation(1, 1, false), rand.New(rand.NewPCG(1, 2)), 0.0 //nolint:gosec // the same each time
	took := make([]float64, 500_000)
	for i := range took {
		now += chance.ExpFloat64() / perSecond
		took[i] = s.serve(now, chance.ExpFloat64()*takes, false) - now
	}
	mean := 1 / (1/takes - perSecond)
	got := percentiles(took)
	require.InEpsilon(t, mean*math.Log(2), got[0], 0.05)
	require.InEpsilon(t, mean*math.Log(100), got[1], 0.1)
}

// TestABacklogIsWorkedOffByWhatIsFree holds that a queue is as usual again when what came in an
// outage was taken by the cores that are not busy otherwise.
func TestABacklogIsWorkedOffByWhatIsFree(t *testing.T) {
	m, err := read(root)
	require.NoError(t, err)
	for _, busy := range []float64{0.5, 0.8} {
		r := simulated(m, 10_000, busy)
		require.InEpsilon(t, outage/(1-busy), r.settled, 0.15, "%v", busy)
		require.InDelta(t, outage, r.longest, 0.5)
	}
}

func TestWorkIsConserved(t *testing.T) {
	for _, c := range []struct{ cores, perGroup float64 }{{0.3, 1}, {1, 1}, {7, 5}, {7, 50}, {690, 500}} {
		s := newStation(c.cores, c.perGroup, false)
		require.InDelta(t, c.cores, float64(len(s.free))*c.perGroup/s.slow, 1e-9, "events' time a second that %v cores take", c.cores)
		require.False(t, math.IsInf(s.slow, 0))
	}
}

func TestNumbersAreShownForPeople(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 12345678: "12,345,678"} {
		require.Equal(t, want, grouped(n))
	}
	for n, want := range map[float64]string{4.36e6: "4.4 MB", 999_600: "1.0 MB", 2.9e16: "29 PB"} {
		require.Equal(t, want, bytes(n))
	}
	require.Equal(t, "8.4 billion", amount(8.4e9))
}
