package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func attackTurns(without, with []float64) (turns []attackTurn) {
	for i := range without {
		turns = append(turns, attackTurn{measured: measured{acceptRate: without[i]}},
			attackTurn{attacked: true, lasted: time.Second, measured: measured{acceptRate: with[i]}, answers: map[string]map[string]int{"a": {"401": 7}}})
	}
	return turns
}

func TestAFloodThatTakesMoreThanATenthFails(t *testing.T) {
	r := attackResult{workload: workload{rate: 100}, kind: floodOf(workload{}, 5), turns: attackTurns([]float64{100, 100}, []float64{91, 90})}
	require.InDelta(t, 0.905, r.kept(), 1e-9)
	require.NoError(t, r.fails())
	r.turns[1].acceptRate = 89
	require.ErrorContains(t, r.fails(), "left 89.5 %")
	r.turns[1].acceptRate = 100
	r.turns[1].problems = map[string]int{"answered 429": 1}
	require.ErrorContains(t, r.fails(), "not answered 2xx")
}

func TestASiegeThatTakesMoreThanATwentiethFails(t *testing.T) {
	r := attackResult{workload: workload{rate: 100}, kind: siegeOf(""), turns: attackTurns([]float64{100, 100}, []float64{96, 95})}
	require.InDelta(t, 0.955, r.kept(), 1e-9)
	require.NoError(t, r.fails())
	require.Contains(t, r.String(), "95.5 %")
	require.Contains(t, r.String(), "| a | 7 × 401 |")
	r.turns[1].acceptRate = 93
	require.ErrorContains(t, r.fails(), "left 94.0 %")
	r.turns[1].acceptRate = 100
	r.turns[1].problems = map[string]int{"answered 503": 1}
	require.NoError(t, r.fails(), "a few may be refused if the rate is kept")
	r.turns[1].missing = 1
	require.ErrorContains(t, r.fails(), "did not arrive")
	r.turns[1].answers["a"] = nil
	require.ErrorContains(t, r.fails(), "inconclusive")
	r.turns[0].acceptRate, r.turns[2].acceptRate = 90, 90
	require.ErrorContains(t, r.fails(), "the machine is busy")
}
