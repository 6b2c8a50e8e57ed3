package cli

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// duration is a flag that also accepts days: 90d, 36h, 1d12h.
type duration time.Duration

func (d *duration) String() string {
	if *d == 0 {
		return "0"
	}
	return time.Duration(*d).String()
}

// Type is the value's name in the help.
func (*duration) Type() string { return "duration" }

// Set reads days, which come first, and what time.ParseDuration accepts. Negative durations
// are refused.
func (d *duration) Set(text string) error {
	const day = 24 * time.Hour
	days, rest, found := strings.Cut(text, "d")
	var sum time.Duration
	if found {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || time.Duration(n) > (1<<63-1)/day {
			return errNoDuration
		}
		sum, text = time.Duration(n)*day, rest
	}
	if text != "" {
		more, err := time.ParseDuration(text)
		if err != nil || more < 0 || sum+more < sum {
			return errNoDuration
		}
		sum += more
	}
	if !found && text == "" {
		return errNoDuration
	}
	*d = duration(sum)
	return nil
}

var errNoDuration = errors.New("write days, hours or minutes, such as 90d, 36h or 1d12h")
