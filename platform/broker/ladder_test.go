package broker

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRung(t *testing.T) {
	for _, c := range []struct {
		delay time.Duration
		queue string
	}{
		{1, "retry.250ms"},
		{249 * time.Millisecond, "retry.250ms"},
		{250 * time.Millisecond, "retry.250ms"},
		{500*time.Millisecond - 1, "retry.250ms"},
		{500 * time.Millisecond, "retry.500ms"},
		{time.Second - 1, "retry.500ms"},
		{time.Second, "retry.1s"},
		{2*time.Second - 1, "retry.1s"},
		{2 * time.Second, "retry.2s"},
		{4*time.Second - 1, "retry.2s"},
		{4 * time.Second, "retry.4s"},
		{8*time.Second - 1, "retry.4s"},
		{8 * time.Second, "retry.8s"},
		{16*time.Second - 1, "retry.8s"},
		{16 * time.Second, "retry.16s"},
		{32*time.Second - 1, "retry.16s"},
		{32 * time.Second, "retry.32s"},
		{64*time.Second - 1, "retry.32s"},
		{64 * time.Second, "retry.64s"},
		{MaxDelay, "retry.64s"},
	} {
		t.Run(c.delay.String(), func(t *testing.T) {
			require.Equal(t, c.queue, Names{Retry: "retry"}.rungQueue(rung(c.delay)))
		})
	}
}

func TestRungsBoundTheLateness(t *testing.T) {
	for i, r := range rungs {
		next := MaxDelay
		if i+1 < len(rungs) {
			next = rungs[i+1]
		}
		require.LessOrEqual(t, next, 2*r, "delays in the rung of %s", r)
		require.LessOrEqual(t, next-r, time.Minute)
	}
}

func TestExpiration(t *testing.T) {
	for delay, want := range map[time.Duration]string{
		1:                                  "1",
		time.Millisecond:                   "1",
		time.Millisecond + 1:               "2",
		time.Second:                        "1000",
		MaxDelay:                           "120000",
		1500*time.Microsecond + 0*MaxDelay: "2",
	} {
		require.Equal(t, want, expiration(delay), delay)
	}
}

func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		name    string
		attempt int
		chance  float64
		want    time.Duration
	}{
		{"the first pause", 0, 0, 100 * time.Millisecond},
		{"half of it at most is taken away", 0, 1, 50 * time.Millisecond},
		{"twice as long each time", 1, 0, 200 * time.Millisecond},
		{"the last that doubles", 5, 0, 3200 * time.Millisecond},
		{"the longest", 6, 0, 5 * time.Second},
		{"and no longer", 1000, 0, 5 * time.Second},
		{"with jitter", 1000, 0.5, 3750 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, backoff(c.attempt, c.chance)) })
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name  string
		names Names
		want  string // "" when they are right
	}{
		{"four names", Names{"p", "r", "y", "d"}, ""},
		{"a name that is missing", Names{"p", "", "y", "d"}, "the retry queue has no name"},
		{"two that are alike", Names{"p", "r", "p", "d"}, `the process and the replay queue are both called "p"`},
		{"one that is a rung's", Names{"p", "r", "r.4s", "d"}, `the replay queue is called "r.4s"`},
		{"the longest name", Names{strings.Repeat("p", 240), "r", "y", "d"}, ""},
		{"one that is longer", Names{strings.Repeat("p", 241), "r", "y", "d"}, "longer than 240 bytes"},
		{"everything at once", Names{"", "r", "y", "y"}, "no name\nthe replay and the dead"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.names.check()
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}
