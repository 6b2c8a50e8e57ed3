package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"integration-gateway/platform/clock"
)

const documentHead = `# Reliability

What the gateway does when things break, as measured by the fault suite
(` + "`./scripts/chaos`" + `) on %s, commit %s. The suite writes this page.

The gateway runs as real processes on real servers under a supervisor. A provider sends
%d signed webhooks a second and retries each until it is answered 2xx; in the middle one
thing breaks and is repaired; a receiver counts what arrives, by event id. Every scenario
ends with a check of the gateway's records: no event is open, there are as many events as
were accepted%s.

| column | what it is | bar |
| --- | --- | --- |
| accepted | webhooks that were answered 2xx | all that were sent, also while RabbitMQ or Redis is down |
| delivered | of those, the ones that the receiver got, or refused for good with 410 | all |
| lost | accepted, but not delivered | 0 |
| delivered twice | events that the receiver accepted more than once, each time with the same webhook-id | 0, except for events in flight when a process or the database was killed |
| longest gap | the longest time without a delivery, from the beginning of the fault until all were delivered | the switch and 2 s when the database is switched over; 10 s when its primary hangs |
| longest silence | the same from the moment at which the failed part answered again (a killed process: was ready again) | 5 s; 15 s after a destination was down |
| longest wait | of any event from its acceptance, or from the moment given below if that was later, to the beginning of its first delivery whose response the gateway received | 5 s from the death of a process; 10 s from the return of a server or a destination; exceptions are given below |
| slowest response | to a webhook that was sent during the fault | 15 s while the database is down (503 with Retry-After) |
| unexpected exits | processes that exited without having been asked to | 0 |

A 500 response misses the bar in every scenario, and so does a 2xx response for an event that
the database does not have. While processes are upgraded any 5xx does.

Timeouts and leases are the defaults. Some other settings are shortened to speed up the suite:
retries begin after 200 ms and wait for at most 3 s; in scenarios with hanging destinations, an
attempt may take 2 s.

`

const documentTail = `
## Running it

` + "```" + `
./scripts/chaos                    everything, in an hour and a half; rewrites this page
./scripts/chaos --list             the scenarios, with their descriptions
./scripts/chaos postgres-hung      one of them; patterns such as 'rabbitmq-*' work too
./scripts/chaos --embedded         those that need no servers
./scripts/chaos --short            the selection that .ci/run uses
` + "```" + `

It starts its own PostgreSQL, RabbitMQ and Redis on free loopback ports (` + "`scripts/services`" + `),
and a PostgreSQL primary with its standby, a RabbitMQ cluster of three nodes, nginx or haproxy for each
scenario that needs one, builds the gateway with
the tag failpoint, and leaves nothing behind except the logs of scenarios that missed a bar. The
exit code is 1 if a bar was missed.

Upgrades begin with the last program that knew the first schema alone. It is built from its commit, so
the clone needs its history (` + "`git fetch --unshallow`" + `), or give such a program with ` + "`--old-gateway`" + `.
`

// document writes docs/reliability.md.
func (s *suite) document(ctx context.Context, results []result) error {
	commit, err := exec.CommandContext(ctx, "git", "-C", s.root, "describe", "--always", "--dirty", "--abbrev=12").Output() //nolint:gosec // our own
	if err != nil {
		commit = []byte("unknown")
	}
	verified := ""
	if s.verifies {
		verified = ", and\n`gateway verify` finds nothing"
	}
	var text strings.Builder
	fmt.Fprintf(&text, documentHead, clock.System().Format("2006-01-02"), strings.TrimSpace(string(commit)), rate, verified)
	section(&text, "On PostgreSQL, RabbitMQ and Redis", results, false)
	section(&text, "The embedded default (`gateway dev`)", results, true)
	text.WriteString("## The scenarios\n\n| scenario | what happens | how long an event may wait |\n| --- | --- | --- |\n")
	for _, r := range results {
		fmt.Fprintf(&text, "| %s | %s | %s |\n", r.name, r.about, r.mayWait())
	}
	text.WriteString(documentTail)
	path := filepath.Join(s.root, "docs", "reliability.md")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // a folder of the repository
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil { //nolint:gosec // a page to be read
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// mayWait describes the bar of the longest wait, and from when it counts.
func (s scenario) mayWait() string {
	text := s.waitBar().String() + " from " + s.target.since()
	if s.reason != "" {
		text += ": " + s.reason
	}
	return text
}

func section(text *strings.Builder, title string, results []result, embedded bool) {
	fmt.Fprintf(text, "## %s\n\n| %s |\n|%s\n", title, strings.Join(headings, " | "), strings.Repeat(" --- |", len(headings)))
	for _, r := range results {
		if r.embedded == embedded {
			fmt.Fprintf(text, "| %s |\n", strings.Join(r.columns(), " | "))
		}
	}
	text.WriteString("\n")
	for _, r := range results {
		for _, f := range r.faults {
			if r.embedded == embedded {
				fmt.Fprintf(text, "- %s missed: %s\n", r.name, strings.Join(strings.Fields(f), " "))
			}
		}
	}
	text.WriteString("\n")
}

// tidy removes the files of a run in which all scenarios passed.
func (s *suite) tidy() { _ = os.RemoveAll(s.scratch) }
