package broker

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTierOf(t *testing.T) {
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
			require.Equal(t, c.queue, Names{Retry: "retry"}.delayQueue(tierOf(c.delay)))
		})
	}
}

func TestTiersLimitTheLateness(t *testing.T) {
	for i, r := range tiers {
		next := MaxDelay
		if i+1 < len(tiers) {
			next = tiers[i+1]
		}
		require.LessOrEqual(t, next, 2*r, "delays in the tier of %s", r)
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

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name  string
		names Names
		want  string // "" if they are valid
	}{
		{"four names", Names{"p", "r", "y", "d", ""}, ""},
		{"a missing name", Names{"p", "", "y", "d", ""}, "the retry queue has no name"},
		{"duplicate names", Names{"p", "r", "p", "d", ""}, `the process and the replay queue are both called "p"`},
		{"the name of a delay queue", Names{"p", "r", "r.4s", "d", ""}, `the name of the replay queue, "r.4s"`},
		{"the longest name", Names{strings.Repeat("p", 240), "r", "y", "d", ""}, ""},
		{"a longer name", Names{strings.Repeat("p", 241), "r", "y", "d", ""}, "longer than 240 bytes"},
		{"everything at once", Names{"", "r", "y", "y", ""}, "no name\nthe replay and the dead"},
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
