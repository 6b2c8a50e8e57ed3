package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/client"
	"integration-gateway/platform/clock"
)

func (c *command) status() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show whether the gateway is well, and what needs attention", Args: cobra.NoArgs,
		Long: `Asks for the gateway's health and figures. Exits with 5 if it is not well; what needs attention
alone does not change the exit code.`,
	}
	c.addAPIFlags(cmd)
	var every time.Duration
	addWatch(cmd, &every)
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, _ []string) error {
		return s.watched(ctx, every, func() error { return s.status(ctx) })
	})
	return cmd
}

// statusAnswer is the result for programs.
type statusAnswer struct {
	Status string            `json:"status"`
	Health json.RawMessage   `json:"health"`
	Alerts []json.RawMessage `json:"alerts"` // open ones, the newest first, up to a bound
	Notes  []string          `json:"attention"`
}

// overview is what `gateway status` has read.
type overview struct {
	answer statusAnswer
	checks map[string]string
	stats  map[string]any // nil from a gateway without figures
	notes  []note
	alerts int // open ones in all
}

// shownAlerts bounds the alerts that are shown.
const shownAlerts = 20

func (s *session) status(ctx context.Context) error {
	if s.local != nil {
		return usage("status: no gateway is named, so there is none to ask; see: gateway help contexts")
	}
	o, err := s.overview(ctx)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(o.answer)
	if err != nil {
		return fmt.Errorf("print the status: %w", err)
	}
	err = s.out.One(raw, o.answer.Status, func() error { return s.showStatus(o) })
	if err == nil && o.answer.Status != "ok" {
		return &failure{exitUnavailable, "the gateway is " + o.answer.Status}
	}
	return err
}

// overview asks for everything that the status shows.
func (s *session) overview(ctx context.Context) (o overview, err error) {
	o = overview{answer: statusAnswer{Notes: []string{}, Alerts: []json.RawMessage{}}, checks: map[string]string{}}
	if o.answer.Health, err = s.Health(ctx); err != nil {
		return o, err
	}
	var health struct {
		Status string
		Checks map[string]struct{ Status string }
	}
	if err := json.Unmarshal(o.answer.Health, &health); err != nil {
		return o, fmt.Errorf("read the answer: %w", err)
	}
	o.answer.Status = health.Status
	for name, check := range health.Checks {
		o.checks[name] = check.Status
	}
	if _, err := s.Get(ctx, "/stats", nil, &o.stats); err != nil && !client.IsNotFound(err) { // a gateway without figures
		return o, err
	}
	o.notes = attention(o.stats)
	for _, n := range o.notes {
		o.answer.Notes = append(o.answer.Notes, n.String())
	}
	meta, err := s.List(ctx, "/alerts", url.Values{"state": {"open"}}, shownAlerts, func(p client.Page) error {
		o.answer.Alerts = append(o.answer.Alerts, p.Items...)
		return nil
	})
	o.alerts = meta.Total
	var refused *client.Error
	if errors.As(err, &refused) && (refused.Status == http.StatusNotFound || refused.Status == http.StatusForbidden) {
		err = nil // a gateway without alerts, or a key that is restricted to sources
	}
	return o, err
}

func (s *session) showStatus(o overview) error {
	fields := []output.Field{{Name: "gateway", Text: s.URL()}, {Name: "status", Text: o.answer.Status, Kind: output.State}}
	for _, f := range sortedFields(anyOf(o.checks)) {
		fields = append(fields, output.Field{Name: f.Name, Text: o.checks[f.Name], Kind: output.State})
	}
	if gateway, is := o.stats["gateway"].(map[string]any); is {
		fields = append(fields, figuresOf(gateway)...)
		fields = append(fields, output.Field{Name: "alerts", Text: fmt.Sprintf("%d open", o.alerts)},
			output.Field{Name: "books", Text: s.books(gateway)})
	}
	if err := s.out.Fields(fields); err != nil {
		return err
	}
	if len(o.notes) == 0 && len(o.answer.Alerts) == 0 && o.answer.Status == "ok" {
		return s.out.Say("\nAll well.")
	}
	if err := s.showAlerts(o.answer.Alerts); err != nil || len(o.notes) == 0 {
		return err
	}
	if err := s.out.Title("Needs attention"); err != nil {
		return err
	}
	for _, n := range o.notes {
		if err := s.out.Say("%s", n.text); err != nil {
			return err
		}
		if n.see != "" {
			if err := s.out.Say("  %s", n.see); err != nil {
				return err
			}
		}
	}
	return nil
}

// showAlerts prints each alert in two lines.
func (s *session) showAlerts(alerts []json.RawMessage) error {
	if len(alerts) == 0 {
		return nil
	}
	if err := s.out.Title("Open alerts"); err != nil {
		return err
	}
	for _, raw := range alerts {
		item, err := output.Parse(raw)
		if err != nil {
			return err
		}
		known := ""
		if by := output.TextAt(item, "acknowledgedBy"); by != "" {
			known = ", acknowledged by " + by
		}
		if err := s.out.Say("%s, since %s%s\n  %s", output.TextAt(item, "severity"), s.ago(output.TextAt(item, "startedAt")), known, output.TextAt(item, "summary")); err != nil {
			return err
		}
	}
	return nil
}

// ago is how long ago a time was; with --utc the time itself.
func (s *session) ago(text string) string {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || s.c.api.utc {
		return text
	}
	return output.Span(max(0, clock.System().Sub(at)))
}

// books is the result of the last consistency check that ran by itself.
func (s *session) books(gateway map[string]any) string {
	finished := output.TextAt(gateway, "consistencyCheck.finishedAt")
	switch {
	case output.At(gateway, "consistencyCheck") == nil:
		return "not checked yet"
	case s.c.api.utc:
		finished = "checked at " + finished
	default:
		finished = "checked " + s.ago(finished) + " ago"
	}
	if output.At(gateway, "consistencyCheck.holds") == true {
		return "consistent, " + finished
	}
	return output.TextAt(gateway, "consistencyCheck.problems") + " problems, " + finished
}

// figuresOf are the lines of the whole gateway's figures.
func figuresOf(gateway map[string]any) []output.Field {
	of := func(path string) string { return cmp.Or(output.TextAt(gateway, path), "0") }
	now := func(name string) string { return of("now." + name) }
	oldest := "none due"
	if late := secondsAt(gateway, "now.oldestDueSeconds"); late >= time.Second {
		oldest = "the oldest due since " + output.Span(late)
	}
	over := "over.1h."
	return []output.Field{
		{Name: "last hour", Text: of(over+"accepted") + " accepted, " + of(over+"duplicate") + " repeats, " + of(over+"refused") + " refused"},
		{Name: "", Text: of(over+"delivered") + " delivered, " + of(over+"failedAttempts") + " failed attempts"},
		{Name: "waiting", Text: now("waiting") + " (" + now("due") + " due), " + oldest + "; " + now("parked") + " parked"},
		{Name: "dead letters", Text: now("deadLetters") + " open"},
		{Name: "quarantine", Text: now("quarantine")},
		{Name: "spool", Text: of("spool.waiting") + " wait for the database, " + of("spool.parked") + " parked"},
	}
}

func anyOf[T any](values map[string]T) map[string]any {
	all := map[string]any{}
	for name, v := range values {
		all[name] = v
	}
	return all
}
