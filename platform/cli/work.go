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
		Short: "Deliver what was taken in",
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
			cfg, log, err := c.load(config.Options{Role: config.Work, Flags: flags})
			if err != nil {
				return err
			}
			return app.Work(cmd.Context(), cfg, log, queues)
		},
	}
	cmd.Flags().StringSliceVar(&names, "queues", []string{"process", "replay"}, "queues to work on: process, replay")
	cmd.Flags().IntVar(&concurrency, "concurrency", 64, "deliveries under way at once (DELIVERY_CONCURRENCY)")
	return cmd
}

func workQueues(names []string) ([]contract.Queue, error) {
	var queues []contract.Queue
	for _, name := range names {
		queue := contract.Queue(name)
		if queue != contract.ProcessQueue && queue != contract.ReplayQueue {
			return nil, usage(fmt.Sprintf("--queues: there is no queue %q; the queues are process and replay", name))
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
