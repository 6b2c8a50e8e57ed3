package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestObservedRatios: each turn is compared with the two around it, in the order in which they ran.
func TestObservedRatios(t *testing.T) {
	rate := func(n float64) measured { return measured{acceptRate: n, deliverRate: n / 2} }
	r := observed{workload: workload{mode: deliver}, ways: watching("http://127.0.0.1:1"), turns: [][]measured{
		{rate(100), rate(300), rate(100), rate(100), rate(300)}, // off on off traced off on off traced off
		{rate(200), rate(50)},
		{rate(100), rate(100)},
	}}
	require.Equal(t, []float64{1, 0.5}, r.ratios(1, acceptRate))
	require.Equal(t, []float64{0.5, 0.5}, r.ratios(2, deliverRate))
	require.Contains(t, r.String(), "≥ 0.97")
	require.Zero(t, r.missing())
	require.InDelta(t, 0.5, measured{costs: []cost{{name: "serve", cpu: 0.2}, {name: generator, cpu: 9}, {name: "PostgreSQL", cpu: 0.3}}}.used(), 1e-9)
}
