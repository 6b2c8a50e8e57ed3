package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/telemetry"
)

func (c *command) replaysShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show REPLAY", Short: "Show a replay with its counts", Args: cobra.ExactArgs(1)}
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		raw, err := s.replay(ctx, args[0])
		if err != nil {
			return err
		}
		return s.one(raw, "id", s.showReplay)
	})
	return cmd
}

func (s *session) replay(ctx context.Context, replayID string) (json.RawMessage, error) {
	replayID, err := validID("replays", replayID)
	if err != nil {
		return nil, err
	}
	var raw json.RawMessage
	_, err = s.Get(ctx, "/replays/"+replayID, nil, &raw)
	return raw, err
}

func (s *session) showReplay(item map[string]any) error {
	return s.out.Fields(fieldsOf(item,
		output.Column{Title: "id", Path: "id"}, output.Column{Title: "status", Path: "status", Kind: output.State},
		output.Column{Title: "matched", Path: "counts.matched"}, output.Column{Title: "queued", Path: "counts.queued"},
		output.Column{Title: "delivered", Path: "counts.delivered"}, output.Column{Title: "failed", Path: "counts.failed"},
		output.Column{Title: "filter", Path: "filter"}, output.Column{Title: "to", Path: "destination"}, output.Column{Title: "to URL", Path: "url"},
		output.Column{Title: "payload", Path: "payload"}, output.Column{Title: "rate", Path: "rate"},
		output.Column{Title: "reason", Path: "reason"}, output.Column{Title: "requested by", Path: "requestedBy"}, output.Column{Title: "key", Path: "createdBy"},
		output.Column{Title: "created", Path: "createdAt", Kind: output.Time}, output.Column{Title: "ended", Path: "endedAt", Kind: output.Time}))
}

func (c *command) replaysWatch() *cobra.Command {
	return &cobra.Command{
		Use: "watch REPLAY", Short: "Show a replay's progress until it ends", Args: cobra.ExactArgs(1),
		Long: `Ends when the replay does: with 0 if every delivery succeeded, else with 1. Interrupting it
does not stop the replay.`,
		RunE: c.onAPI(func(ctx context.Context, s *session, args []string) error { return s.watchReplay(ctx, args[0]) }),
	}
}

// replayPoll is how often a replay's progress is read.
const replayPoll = time.Second

// watchReplay shows a replay's progress until it ends.
func (s *session) watchReplay(ctx context.Context, replayID string) error {
	bar := &replayBar{s: s}
	for {
		raw, err := s.replay(ctx, replayID)
		if err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // interrupted
			}
			return err
		}
		item, err := output.Parse(raw)
		if err != nil {
			return err
		}
		bar.show(item)
		switch status := output.TextAt(item, "status"); status {
		case "completed", "failed", "cancelled":
			bar.end()
			if err := s.one(raw, "id", s.showReplay); err != nil {
				return err
			}
			if failed := output.TextAt(item, "counts.failed"); status != "completed" || failed != "0" && failed != "" {
				return fmt.Errorf("the replay is %s, %s deliveries failed", status, failed)
			}
			return nil
		}
		if !clock.Sleep(ctx, replayPoll) {
			bar.end()
			return nil
		}
	}
}

// replayBar is the progress of a replay: a bar on a terminal, else a line for each change.
type replayBar struct {
	s    *session
	last string
}

const barWidth = 30

func (b *replayBar) show(item map[string]any) {
	count := func(name string) int {
		n, _ := strconv.Atoi(output.TextAt(item, "counts."+name))
		return n
	}
	matched, delivered, failed := count("matched"), count("delivered"), count("failed")
	text := fmt.Sprintf("%d of %d delivered, %d failed, %s", delivered, matched, failed, output.Clean(output.TextAt(item, "status")))
	if text == b.last || b.s.c.api.quiet {
		return
	}
	b.last = text
	f, is := b.s.c.stderr.(*os.File)
	if !is || !telemetry.IsTerminal(f) {
		_, _ = fmt.Fprintln(b.s.c.stderr, text)
		return
	}
	done := 0
	if matched > 0 {
		done = min(barWidth, barWidth*(delivered+failed)/matched)
	}
	_, _ = fmt.Fprintf(f, "\r\x1b[K[%s%s] %s", strings.Repeat("#", done), strings.Repeat(".", barWidth-done), text)
}

func (b *replayBar) end() {
	if f, is := b.s.c.stderr.(*os.File); is && telemetry.IsTerminal(f) && b.last != "" {
		_, _ = fmt.Fprintln(f)
	}
}

// replaysChange makes the commands that pause, resume and cancel a replay.
func (c *command) replaysChange(verb, short, done string, ends bool) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " REPLAY", Short: short, Args: cobra.ExactArgs(1)}
	var asked *consent
	if ends {
		asked = addConsent(cmd)
	}
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, args []string) error {
		replayID, err := validID("replays "+verb, args[0])
		if err != nil {
			return err
		}
		if ends {
			if do, err := c.agreed(asked, "The replay %s will end; what was not sent yet is not sent.", replayID); err != nil || !do {
				return err
			}
		}
		var raw json.RawMessage
		if err := s.Post(ctx, "/replays/"+replayID+"/"+verb, map[string]any{}, &raw); err != nil {
			return err
		}
		return s.done(raw, replayID, "%s replay %s", done, replayID)
	})
	return cmd
}
