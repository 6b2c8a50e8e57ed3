package app

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/config"
	"integration-gateway/platform/fault"
)

// openTool builds the system for a short-lived command on the records. Nothing is started,
// and running processes publish what it queues. withBroker says that it uses RabbitMQ, if
// configured.
func openTool(ctx context.Context, cfg config.Config, log *slog.Logger, withBroker bool) (*system, error) {
	s, err := openRecords(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	s.cache, s.broker, s.tool = cache.None{}, noBroker{}, true
	if withBroker && !cfg.RabbitMQ.URL.Empty() {
		s.broker, err = openBroker(cfg, log, true)
	}
	var g *system
	if err == nil {
		g, err = wire(cfg, s, log)
	}
	if err != nil {
		s.close(log)
		return nil, err
	}
	return g, nil
}

// printJSON prints the output of commands with --json.
func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// noBroker is the broker of a command without one: an in-process queue would lose its
// messages.
type noBroker struct{}

func (noBroker) err() error {
	return fault.Unavailable.New("no_broker", "There is no broker: set RABBITMQ_URL, or use the running gateway's API.")
}

func (b noBroker) Publish(_ context.Context, messages []broker.Message) []error {
	errs := make([]error, len(messages))
	for i := range errs {
		errs[i] = b.err()
	}
	return errs
}

func (b noBroker) Consume(context.Context, broker.Queue, int, func(broker.Delivery)) error {
	return b.err()
}
func (b noBroker) Ping(context.Context) error                       { return b.err() }
func (b noBroker) Depth(context.Context, broker.Queue) (int, error) { return 0, b.err() }
func (noBroker) Status() broker.Status                              { return broker.Status{} }
func (noBroker) Lost() <-chan broker.Queue                          { return nil }
func (noBroker) Close() error                                       { return nil }
