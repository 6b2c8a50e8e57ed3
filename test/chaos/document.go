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
%d signed webhooks a second, each again and again until it is answered 2xx; in the middle
one thing breaks and is mended; a receiver counts what arrives, by event id. Every scenario
ends with the gateway's own books: no event under way, as many events as were accepted%s.

| column | what it is | bar |
| --- | --- | --- |
| accepted | webhooks that were answered 2xx | every one that was sent; while RabbitMQ or Redis is away, too |
| delivered | of those, what the receiver got, or refused for good with 410 | all |
| lost | accepted, and not delivered | 0 |
| delivered twice | events that the receiver took more than once, each time with the same webhook-id | 0, but for what was in flight when a process or the database was killed |
| longest silence | the longest time without a delivery until all were delivered, from the moment at which what had failed answered again (a killed process: was ready again) | 5 s; 15 s after a destination was down |
| longest wait | of any event from its acceptance, or that moment where it was later, to its delivery; what a killed worker held waits for its lease | 60 s |
| slowest answer | to a webhook that was sent while the fault lasted | 15 s while the database is away (503 with Retry-After) |
| ended by themselves | processes that ended without having been asked to | 0 |

The suite shortens some settings, so that it is quick: a delivery may take 2 s, a lease has a
margin of 3 s, retries begin after 200 ms.

`

const documentTail = `
## Running it

` + "```" + `
./scripts/chaos                    everything, in about half an hour; rewrites this page
./scripts/chaos --list             the scenarios, with what each does
./scripts/chaos postgres-hung      one of them; patterns such as 'rabbitmq-*' work too
./scripts/chaos --embedded         those that need no servers
./scripts/chaos --short            the selection that .ci/run takes
` + "```" + `

It starts PostgreSQL, RabbitMQ and Redis of its own on free loopback ports (` + "`scripts/services`" + `),
builds the gateway with the tag failpoint, and leaves nothing behind but the logs of what
missed a bar. The exit code is 1 when one was missed.
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
	text.WriteString("## The scenarios\n\n| scenario | what happens |\n| --- | --- |\n")
	for _, r := range results {
		fmt.Fprintf(&text, "| %s | %s |\n", r.name, r.about)
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

// tidy removes what is left of a run that went well.
func (s *suite) tidy() { _ = os.RemoveAll(s.scratch) }
