package app

import (
	"context"
	"log/slog"
	"math"
	"time"

	"integration-gateway/modules/ingestion/spool"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/keyring"
	"integration-gateway/platform/metrics"
)

// newSpool returns nil where webhooks cannot wait at a broker, and for tools, which receive none. A spool
// that is off still stores what is in it.
func newSpool(cfg config.Config, s *stores, log *slog.Logger, now clock.Now, counted *metrics.Metrics, ring *keyring.Ring) *spool.Spool {
	if cfg.RabbitMQ.URL.Empty() || s.tool {
		return nil
	}
	age := cfg.RabbitMQ.Spool.MaxAge
	if age == 0 {
		age = math.MaxInt64
	}
	return spool.New(spool.Config{Off: !cfg.RabbitMQ.Spool.On, MaxAge: age}, spool.Deps{Log: log, Now: now, Broker: s.broker, Digester: ring, Metrics: counted})
}

// readyWithin is how long the database may take to say that it accepts writes, if webhooks can be
// spooled otherwise.
const readyWithin = time.Second

// ready returns nil if webhooks can be accepted: the database accepts writes, or the spool takes
// them. Load balancers must go on sending webhooks while the database is away.
func (g *system) ready(ctx context.Context) error {
	if !g.spool.Takes() || g.spool.Able() != nil {
		return g.recordsReady(ctx)
	}
	if g.spool.Away() {
		return nil
	}
	answer := make(chan error, 1)
	go func() { answer <- g.recordsReady(ctx) }() // it is bounded
	late := time.NewTimer(readyWithin)
	defer late.Stop()
	select {
	case err := <-answer:
		if fault.Is(err, fault.Unavailable) {
			return nil
		}
		return err
	case <-late.C:
		return nil
	}
}
