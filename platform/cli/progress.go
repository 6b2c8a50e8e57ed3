package cli

import (
	"fmt"
	"os"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/telemetry"
)

// progress is a line on the terminal about what takes longer than a second.
type progress struct {
	to    *os.File // nil: there is no terminal
	begun time.Duration
	last  time.Duration
	shown bool
}

const (
	progressAfter = time.Second
	progressEvery = 200 * time.Millisecond
)

func (c *command) progress() *progress {
	p := &progress{begun: clock.Monotonic()}
	if f, is := c.stderr.(*os.File); is && telemetry.IsTerminal(f) && !c.api.quiet {
		p.to = f
	}
	return p
}

// show replaces the line.
func (p *progress) show(format string, args ...any) {
	now := clock.Monotonic()
	if p.to == nil || now-p.begun < progressAfter || now-p.last < progressEvery {
		return
	}
	p.last, p.shown = now, true
	_, _ = fmt.Fprintf(p.to, "\r\x1b[K"+format, args...)
}

// done removes the line.
func (p *progress) done() {
	if p.shown {
		_, _ = fmt.Fprint(p.to, "\r\x1b[K")
		p.shown = false
	}
}
