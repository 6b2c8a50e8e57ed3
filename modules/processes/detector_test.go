package processes

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// view is one observation: the number of heartbeats of each process.
type view struct {
	at    time.Duration
	beats map[string]int64
	dead  []string
}

func TestFailureDetector(t *testing.T) {
	const gap = 2 * time.Second
	second := func(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
	for _, c := range []struct {
		sentence string
		views    []view
	}{
		{"a process with heartbeats is alive", []view{
			{second(0), map[string]int64{"a": 1}, nil}, {second(1), map[string]int64{"a": 2}, nil}, {second(2), map[string]int64{"a": 3}, nil},
			{second(3), map[string]int64{"a": 4}, nil}, {second(4), map[string]int64{"a": 5}, nil}}},
		{"a process without heartbeats is dead after the timeout, not earlier", []view{
			{second(0), map[string]int64{"a": 1}, nil}, {second(1), map[string]int64{"a": 1}, nil}, {second(2.9), map[string]int64{"a": 1}, nil},
			{second(3), map[string]int64{"a": 1}, []string{"a"}}}},
		{"one heartbeat restarts the timeout", []view{
			{second(0), map[string]int64{"a": 1}, nil}, {second(2), map[string]int64{"a": 1}, nil}, {second(2.5), map[string]int64{"a": 2}, nil},
			{second(4.5), map[string]int64{"a": 2}, nil}, {second(5.5), map[string]int64{"a": 2}, []string{"a"}}}},
		{"a stalled database makes no process dead", []view{
			{second(0), map[string]int64{"a": 1, "b": 1}, nil}, {second(1), map[string]int64{"a": 2, "b": 2}, nil},
			{second(13), map[string]int64{"a": 2, "b": 2}, nil}, {second(14), map[string]int64{"a": 3, "b": 2}, nil},
			{second(15), map[string]int64{"a": 4, "b": 2}, nil}, {second(16), map[string]int64{"a": 5, "b": 2}, []string{"b"}}}},
		{"a new process gets the full timeout", []view{
			{second(100), map[string]int64{"a": 7}, nil}, {second(101), map[string]int64{"a": 7}, nil}, {second(102), map[string]int64{"a": 7}, nil},
			{second(103), map[string]int64{"a": 7}, []string{"a"}}}},
		{"a removed process is forgotten", []view{
			{second(0), map[string]int64{"a": 1}, nil}, {second(1), map[string]int64{}, nil}, {second(3.5), map[string]int64{}, nil}}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			f := newFailureDetector(3 * time.Second)
			for _, v := range c.views {
				var rows []row
				for id, n := range v.beats {
					rows = append(rows, row{ID: id, Beats: n})
				}
				require.Equal(t, v.dead, f.observe(v.at, gap, rows), "at %s", v.at)
			}
		})
	}
}
