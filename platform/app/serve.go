package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
)

// allQueues is what a process works on that does both.
var allQueues = []contract.Queue{contract.ProcessQueue, contract.ReplayQueue}

// Serve takes webhooks in and answers the management API until ctx ends. With both
// it delivers as well.
func Serve(ctx context.Context, cfg config.Config, log *slog.Logger, both bool) error {
	unlock, err := lockDatabase(cfg)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := open(ctx, cfg, log, both)
	if err != nil {
		return err
	}
	defer s.close(log)
	g, err := wire(cfg, s, log)
	if err != nil {
		return err
	}
	if err := g.secrets.CheckKeys(ctx); err != nil {
		return err
	}
	if err := g.refuseDemoSecrets(ctx, cfg); err != nil {
		return err
	}
	if err := g.listen(ctx); err != nil {
		return err
	}
	if !both {
		return g.serve(ctx, cfg, log, nil)
	}
	if err := g.recover(ctx, cfg); err != nil {
		return err
	}
	return g.serve(ctx, cfg, log, allQueues)
}

// listen opens the addresses, before anything is started.
func (g *system) listen(ctx context.Context) error {
	if err := g.server.Listen(ctx); err != nil || g.manager == g.server {
		return err
	}
	if err := g.manager.Listen(ctx); err != nil {
		return errors.Join(fmt.Errorf("MANAGEMENT_ADDR: %w", err), g.server.Shutdown(ctx))
	}
	return nil
}

// recover takes up at once what an earlier process left, where no other process
// can have it: in a database file that is locked by this one.
func (g *system) recover(ctx context.Context, cfg config.Config) error {
	if !cfg.Database.SQLite() || !cfg.RabbitMQ.URL.Empty() {
		return nil // a living process may have it; otherwise its leases run out
	}
	return g.delivery.Recover(ctx)
}

// serve runs a process that listens, and works on queues when there are any. It
// stops working first: a destination may be this very process, as in development.
func (g *system) serve(ctx context.Context, cfg config.Config, log *slog.Logger, queues []contract.Queue) error {
	log.InfoContext(ctx, "listening", "address", g.server.Addr(), "database", g.db.Dialect.Name, "queues", queues)
	var stages []stage
	if len(queues) > 0 {
		stages = append(stages, stage{{"not ready", closing(g.drain)}, g.working(queues), g.burying()}, stage{g.sending()})
	}
	front := stage{{"http", serving(g.server, drainTime(cfg))}}
	if g.manager != g.server {
		log.InfoContext(ctx, "answering the management API", "address", g.manager.Addr())
		front = append(front, part{"management", serving(g.manager, drainTime(cfg))})
	}
	stages = append(stages, g.following(front))
	spareCollector(cfg)
	return run(ctx, log, cfg.ShutdownGrace, append(stages, g.behind()...)...)
}

func (g *system) working(queues []contract.Queue) part {
	return part{"work", func(ctx context.Context) error { return g.delivery.Work(ctx, queues) }}
}

// burying empties the dead queue, wherever a process works.
func (g *system) burying() part { return part{"dead letters", g.delivery.EmptyDeadQueue} }

// sending counts what the way out refuses, and closes it.
func (g *system) sending() part {
	return part{"egress", func(ctx context.Context) error {
		g.countRefusals(ctx, refusalsEvery)
		g.out.Close()
		return nil
	}}
}

// drain has load balancers turn away.
func (g *system) drain() {
	g.server.Drain()
	g.manager.Drain()
}

// behind is what runs in every process, in the order in which it stops.
func (g *system) behind() []stage {
	return []stage{
		{{"ingestion", g.ingestion.Run}, {"keys", g.access.Run}, {"retention", g.retention.Run}, {"audit seals", g.audit.Seal}},
		{{"relay", g.delivery.Relay}},
		{{"audit", g.audit.Run}},
	}
}
