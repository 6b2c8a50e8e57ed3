package backoff

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWait(t *testing.T) {
	e := Exponential{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	for _, c := range []struct {
		name    string
		attempt int
		jitter  float64
		want    time.Duration
	}{
		{"the first wait", 0, 0, 100 * time.Millisecond},
		{"at most half is subtracted", 0, 1, 50 * time.Millisecond},
		{"twice as long each time", 1, 0, 200 * time.Millisecond},
		{"the last doubled wait", 5, 0, 3200 * time.Millisecond},
		{"the longest wait", 6, 0, 5 * time.Second},
		{"it does not grow further", 1000, 0, 5 * time.Second},
		{"with jitter", 1000, 0.5, 3750 * time.Millisecond},
		{"in whole milliseconds", 0, 0.123, 94 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, e.wait(c.attempt, c.jitter)) })
	}
}

func TestWaitsDiffer(t *testing.T) {
	e := Exponential{Min: time.Second, Max: time.Minute}
	seen := map[time.Duration]bool{}
	for range 1000 {
		d := e.Wait(2)
		require.GreaterOrEqual(t, d, 2*time.Second)
		require.LessOrEqual(t, d, 4*time.Second)
		seen[d] = true
	}
	require.Greater(t, len(seen), 100)
}
