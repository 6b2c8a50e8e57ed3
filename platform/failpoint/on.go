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

// Variable holds what happens where: moment=action@n, several with commas between
// them. At the moment's n-th hit (the first where @n is left out)
//
//	kill  the process ends, as by kill -9
//	stop  the process freezes, as by kill -STOP, until somebody continues it
//	hang  the goroutine waits for ever
const Variable = "GATEWAY_FAILPOINT"

// Hit marks a moment, and does what Variable says.
func Hit(name string) {
	p := points()[name]
	if p == nil || p.hits.Add(1) != p.at {
		return
	}
	_, _ = fmt.Fprintf(os.Stderr, "failpoint %s: %s at hit %d\n", name, p.action, p.at)
	switch p.action {
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal takes its time
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
				return nil, fmt.Errorf("%q: %q is no count", part, count)
			}
			p.at = n
		}
		if action != "kill" && action != "stop" && action != "hang" {
			return nil, fmt.Errorf("%q: the action is kill, stop or hang", part)
		}
		list[name] = p
	}
	return list, nil
}
