package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
	"integration-gateway/platform/client"
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
	Status string          `json:"status"`
	Health json.RawMessage `json:"health"`
	Notes  []string        `json:"attention"`
}

func (s *session) status(ctx context.Context) error {
	if s.local != nil {
		return usage("status: no gateway is named, so there is none to ask; see: gateway help contexts")
	}
	answer := statusAnswer{Notes: []string{}}
	var err error
	if answer.Health, err = s.Health(ctx); err != nil {
		return err
	}
	var health struct {
		Status string
		Checks map[string]struct{ Status string }
	}
	if err := json.Unmarshal(answer.Health, &health); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	answer.Status = health.Status
	var stats map[string]any
	if _, err := s.Get(ctx, "/stats", nil, &stats); err == nil {
		answer.Notes = append(answer.Notes, attention(stats)...)
	} else if !client.IsNotFound(err) { // a gateway without figures
		return err
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("print the status: %w", err)
	}
	err = s.out.One(raw, answer.Status, func() error {
		fields := []output.Field{{Name: "gateway", Text: s.URL()}, {Name: "status", Text: health.Status, Kind: output.State}}
		for _, f := range sortedFields(anyOf(health.Checks)) {
			fields = append(fields, output.Field{Name: f.Name, Text: health.Checks[f.Name].Status, Kind: output.State})
		}
		if err := s.out.Fields(fields); err != nil {
			return err
		}
		if len(answer.Notes) == 0 && health.Status == "ok" {
			return s.out.Say("\nAll well.")
		}
		for i, note := range answer.Notes {
			if i == 0 {
				note = "\n" + note
			}
			if err := s.out.Say("%s", note); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && health.Status != "ok" {
		return &failure{exitUnavailable, "the gateway is " + health.Status}
	}
	return err
}

func anyOf[T any](values map[string]T) map[string]any {
	all := map[string]any{}
	for name, v := range values {
		all[name] = v
	}
	return all
}

// The bounds above which a lag needs attention.
const (
	lateDelivery = 5 * time.Minute
	lateOutbox   = time.Minute
	lateSeals    = 10 * time.Minute
)

// attention lists what a person should look at, each with the command that shows it.
func attention(stats map[string]any) []string {
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	number := func(of map[string]any, path string) float64 {
		n, _ := strconv.ParseFloat(output.TextAt(of, path), 64)
		return n
	}
	seconds := func(of map[string]any, path string) time.Duration {
		return time.Duration(number(of, path) * float64(time.Second))
	}
	each := func(list string, do func(map[string]any)) {
		all, _ := stats[list].([]any)
		for _, one := range all {
			if item, is := one.(map[string]any); is {
				do(item)
			}
		}
	}
	each("destinations", func(d map[string]any) {
		name := output.TextAt(d, "name")
		if breaker := output.TextAt(d, "now.breaker"); breaker != "closed" && breaker != "" {
			note("%s: its breaker is %s; see: gateway deliveries list --status failed --destination %s", name, breaker, output.TextAt(d, "destinationId"))
		}
		if late := seconds(d, "now.oldestDueSeconds"); late > lateDelivery {
			note("%s: a delivery is due since %s; see: gateway stats", name, output.Span(late))
		}
	})
	each("sources", func(src map[string]any) {
		source := output.TextAt(src, "source")
		if n := number(src, "now.deadLetters"); n > 0 {
			note("%s: open dead letters: %.0f; see: gateway dead-letters list --status open --source %s", source, n, source)
		}
		if n := number(src, "now.quarantine"); n > 0 {
			note("%s: %.0f in quarantine; see: gateway quarantine list --source %s", source, n, source)
		}
	})
	if late := seconds(stats, "gateway.outboxLagSeconds"); late > lateOutbox {
		note("jobs wait to be published since %s: look at the broker", output.Span(late))
	}
	if late := seconds(stats, "gateway.sealLagSeconds"); late > lateSeals {
		note("audit entries wait for their seal since %s", output.Span(late))
	}
	if output.At(stats, "gateway.consistencyCheck.holds") == false {
		note("the last consistency check found problems; see: gateway verify")
	}
	return notes
}
