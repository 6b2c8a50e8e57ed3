package app

import (
	"context"
	"fmt"
	"log/slog"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/httpapi"
)

// Work delivers what is on queues until ctx ends, and answers /livez and /readyz
// on its own small listener.
func Work(ctx context.Context, cfg config.Config, log *slog.Logger, queues []contract.Queue) error {
	s, err := open(ctx, cfg, log, false)
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
	front := stage{g.working(queues), g.burying()}
	if cfg.WorkAddr != "" {
		probes := httpapi.New(httpapi.Config{Addr: cfg.WorkAddr}, httpapi.Deps{Log: log, Now: clock.System})
		probes.Health(s.checks(), s.db.Ping)
		if err := probes.Listen(ctx); err != nil {
			return fmt.Errorf("WORK_HTTP_ADDR: %w; give each worker on a machine its own, or leave it empty", err)
		}
		log.InfoContext(ctx, "answering /livez and /readyz", "address", probes.Addr())
		front = append(front, part{"probes", serving(probes, drainTime(cfg))})
	}
	log.InfoContext(ctx, "working", "queues", queues, "concurrency", cfg.Delivery.Concurrency)
	spareCollector(cfg)
	return run(ctx, log, cfg.ShutdownGrace, append([]stage{front, {g.sending()}}, g.behind()...)...)
}
