//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Variable holds the actions: failpoint=action@n, separated by commas. At the failpoint's
// n-th hit (the first if @n is left out)
//
//	kill  ends the process, as by kill -9
//	stop  freezes the process, as by kill -STOP, until it is continued
//	hang  blocks the goroutine for ever
const Variable = "GATEWAY_FAILPOINT"

// Hit marks a failpoint and runs its action.
func Hit(name string) {
	p := points()[name]
	if p == nil || p.hits.Add(1) != p.at {
		return
	}
	_, _ = fmt.Fprintf(os.Stderr, "failpoint %s: %s at hit %d\n", name, p.action, p.at)
	switch p.action {
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until the signal arrives
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "hang":
		select {}
	}
}

type point struct {
	action string
	at     int64
	hits   atomic.Int64
}

var points = sync.OnceValue(func() map[string]*point {
	list, err := parse(os.Getenv(Variable))
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "%s: %v\n", Variable, err)
		os.Exit(2)
	}
	return list
})

func parse(text string) (map[string]*point, error) {
	list := map[string]*point{}
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		name, rest, _ := strings.Cut(part, "=")
		action, count, counted := strings.Cut(rest, "@")
		p := &point{action: action, at: 1}
		if counted {
			n, err := strconv.ParseInt(count, 10, 64)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("%q: %q is not a count", part, count)
			}
			p.at = n
		}
		if action != "kill" && action != "stop" && action != "hang" {
			return nil, fmt.Errorf("%q: the action must be kill, stop or hang", part)
		}
		list[name] = p
	}
	return list, nil
}
