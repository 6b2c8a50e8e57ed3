package cli

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
)

func (c *command) work() *cobra.Command {
	var names []string
	var concurrency int
	cmd := &cobra.Command{
		Use:   "work",
		Short: "Deliver accepted events",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			queues, err := workQueues(names)
			if err != nil {
				return err
			}
			flags := map[string]string{}
			if cmd.Flags().Changed("concurrency") {
				flags["DELIVERY_CONCURRENCY"] = strconv.Itoa(concurrency)
			}
			o := config.Options{Role: config.Work, Flags: flags}
			cfg, log, err := c.load(o)
			if err != nil {
				return err
			}
			ctx, stop := c.withReload(cmd.Context(), o)
			defer stop()
			return app.Work(ctx, cfg, log, queues)
		},
	}
	cmd.Flags().StringSliceVar(&names, "queues", []string{"process", "replay"}, "queues to consume: process, replay")
	cmd.Flags().IntVar(&concurrency, "concurrency", config.DefaultNumber("DELIVERY_CONCURRENCY"), "concurrent deliveries (DELIVERY_CONCURRENCY)")
	return cmd
}

func workQueues(names []string) ([]contract.Queue, error) {
	var queues []contract.Queue
	for _, name := range names {
		queue := contract.Queue(name)
		if queue != contract.ProcessQueue && queue != contract.ReplayQueue {
			return nil, usage(fmt.Sprintf("--queues: unknown queue %q; the queues are process and replay", name))
		}
		if !slices.Contains(queues, queue) {
			queues = append(queues, queue)
		}
	}
	if len(queues) == 0 {
		return nil, usage("--queues: name at least one of process and replay")
	}
	return queues, nil
}
