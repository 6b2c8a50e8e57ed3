package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"integration-gateway/platform/broker"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/test/rig"
)

const selectEventIDsSQL = `
SELECT event_id FROM idempotency_keys WHERE idempotency_key LIKE $1`

// waitUntilPublished consumes messages from the process queue until they have named a job
// of every event of this run, and returns how long that took.
func (g *gateway) waitUntilPublished(ctx context.Context, mark string) (time.Duration, error) {
	from := clock.System()
	bounded, cancel := context.WithTimeout(ctx, stallsAfter)
	defer cancel()
	var events []string
	if err := g.records.Select(bounded, &events, selectEventIDsSQL, "acme:"+mark+"-%"); err != nil {
		return 0, fmt.Errorf("look up the events: %w", err)
	}
	unnamed := make(map[string]bool, len(events))
	for _, id := range events {
		unnamed[id] = true
	}
	names := broker.Names{Process: g.name + ".process", Retry: g.name + ".retry", Replay: g.name + ".replay", Dead: g.name + ".dead"}
	queues, err := broker.NewRabbitMQ(broker.RabbitMQConfig{URL: g.servers.URL(rig.RabbitMQ), Names: names}, slog.New(slog.DiscardHandler), clock.System)
	if err != nil {
		return 0, err
	}
	defer func() { _ = queues.Close() }()
	bodies, consuming := make(chan []byte, 64), make(chan error, 1)
	go func() {
		consuming <- queues.Consume(bounded, broker.Process, cap(bodies), func(d broker.Delivery) {
			bodies <- d.Body
			d.Ack()
		})
	}()
	for len(unnamed) > 0 {
		select {
		case text := <-bodies:
			var body struct {
				Jobs []contract.JobRef `json:"jobs"`
			}
			if err := json.Unmarshal(text, &body); err != nil {
				return 0, fmt.Errorf("read a message: %w", err)
			}
			for _, j := range body.Jobs {
				delete(unnamed, j.EventID)
			}
		case err := <-consuming:
			return 0, fmt.Errorf("the jobs of %d of %d events were not published: %w", len(unnamed), len(events), firstOf(err, bounded.Err()))
		}
	}
	return clock.System().Sub(from), nil
}
