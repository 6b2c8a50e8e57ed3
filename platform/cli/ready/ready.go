// Package ready is the command that asks a process on this machine whether it is ready, for health
// checks of containers: the image has neither a shell nor an HTTP client.
package ready

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// Command makes the command. Its client sends no credential and follows no redirect.
func Command() *cobra.Command {
	var within time.Duration
	cmd := &cobra.Command{
		Use: "ready URL", Short: "Ask a process whether it is ready, for health checks of containers", Args: cobra.ExactArgs(1),
		Long: `Asks an address such as http://127.0.0.1:3000/readyz of serve, or port 3001 of work.
Exits with 0 if the answer is 200, and with 1 otherwise.`,
		Example: "  gateway ready http://127.0.0.1:3000/readyz",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), within)
			defer cancel()
			return ask(ctx, args[0])
		},
	}
	cmd.Flags().DurationVar(&within, "within", 3*time.Second, "how long it may take to answer")
	return cmd
}

func ask(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return fmt.Errorf("ready: %w", err)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ready: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("ready: %s answers %s", address, response.Status)
	}
	return nil
}
