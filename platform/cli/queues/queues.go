// Package queues is the command that looks after RabbitMQ's queues.
package queues

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"integration-gateway/platform/app"
	"integration-gateway/platform/config"
)

// Migrate gives existing queues the arguments that the configuration declares; load reads
// the configuration.
func Migrate(load func() (config.Config, *slog.Logger, error), out io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Turn existing queues into those of RABBITMQ_QUEUE_TYPE, with their messages",
		Long: `Turns existing queues into those that the configuration declares, such as classic queues
into quorum queues (RABBITMQ_QUEUE_TYPE=quorum), and keeps their messages.

Stop serve and work first. The command can be repeated after an interruption: it goes on where
it stopped. Messages that wait for a retry begin their delay anew.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, log, err := load()
			if err != nil {
				return err
			}
			migrated, err := app.MigrateQueues(cmd.Context(), cfg, log)
			for _, q := range migrated {
				_, _ = fmt.Fprintf(out, "%s is a %s queue now, with %d messages\n", q.Name, cfg.RabbitMQ.QueueType, q.Messages)
			}
			if err == nil && len(migrated) == 0 {
				_, _ = fmt.Fprintf(out, "all queues are %s queues already\n", cfg.RabbitMQ.QueueType)
			}
			return err
		},
	}
}
