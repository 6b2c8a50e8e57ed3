package cli

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"integration-gateway/platform/cli/output"
)

// status and stats are completed once the API has figures.
func (c *command) status() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show whether the gateway is well", Args: cobra.NoArgs,
		Long: `Asks for the gateway's health. Exits with 5 if it is not well.`,
	}
	c.addAPIFlags(cmd)
	var every time.Duration
	addWatch(cmd, &every)
	cmd.RunE = c.onAPI(func(ctx context.Context, s *session, _ []string) error {
		return s.watched(ctx, every, func() error { return s.health(ctx) })
	})
	return cmd
}

func (s *session) health(ctx context.Context) error {
	raw, err := s.Health(ctx)
	if err != nil {
		return err
	}
	status := ""
	err = s.one(raw, "status", func(item map[string]any) error {
		status = output.TextAt(item, "status")
		fields := []output.Field{{Name: "gateway", Text: s.from}, {Name: "status", Text: status, Kind: output.State}}
		checks, _ := output.At(item, "checks").(map[string]any)
		for _, f := range sortedFields(checks) {
			each, _ := checks[f.Name].(map[string]any)
			fields = append(fields, output.Field{Name: f.Name, Text: output.TextAt(each, "status"), Kind: output.State})
		}
		return s.out.Fields(fields)
	})
	var read struct{ Status string }
	if err == nil && json.Unmarshal(raw, &read) == nil && read.Status != "ok" {
		return &failure{exitUnavailable, "the gateway is " + read.Status}
	}
	return err
}
