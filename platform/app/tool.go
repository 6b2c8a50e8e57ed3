package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"

	"integration-gateway/modules/secrets"
	"integration-gateway/platform/broker"
	"integration-gateway/platform/cache"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/fault"
)

// openTool builds the system for a command that works on the records and ends: nothing
// is started, and what it queues is published by the processes that run. withBroker says
// that it has something to ask of RabbitMQ, where there is one.
func openTool(ctx context.Context, cfg config.Config, log *slog.Logger, withBroker bool) (*system, error) {
	db, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	s := &stores{db: db, cache: cache.None{}, broker: noBroker{}, tool: true}
	err = db.CheckSchema(ctx)
	if err == nil {
		s.retired, err = secrets.Retired(ctx, db)
	}
	if err == nil && withBroker && !cfg.RabbitMQ.URL.Empty() {
		looking := rabbitConfig(cfg)
		looking.LookOnly = true
		s.broker, err = broker.NewRabbitMQ(looking, log, clock.System)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	g, err := wire(cfg, s, log)
	if err != nil {
		s.close(log)
		return nil, err
	}
	return g, nil
}

// printJSON is what commands print under --json.
func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// noBroker stands where a command has no broker: a queue in its own process would lose
// whatever is published.
type noBroker struct{}

func (noBroker) err() error {
	return fault.Unavailable.New("no_broker", "There is no broker to ask: set RABBITMQ_URL, or use the API of the gateway that runs.")
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
func (noBroker) Lost() <-chan broker.Queue                          { return nil }
func (noBroker) Close() error                                       { return nil }
