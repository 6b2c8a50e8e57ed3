package app

import (
	"context"
	"log/slog"

	"integration-gateway/modules/processes"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/httpapi"
)

// Work delivers events from queues until ctx ends, and serves /livez and /readyz on its own
// small listener.
func Work(ctx context.Context, cfg config.Config, log *slog.Logger, queues []contract.Queue) error {
	probes := func(g *system) []listener {
		if cfg.WorkAddr == "" {
			return nil
		}
		server := httpapi.New(httpapi.Config{Addr: cfg.WorkAddr}, httpapi.Deps{Log: log, Now: clock.System})
		server.Health(g.checks(), g.withQueues(g.recordsReady))
		return []listener{{Server: server, name: "probes", setting: "WORK_HTTP_ADDR",
			hint: "; give each worker on a machine its own, or set it to the empty string"}}
	}
	return process{role: processes.RoleWork, queues: queues, answers: probes}.run(ctx, cfg, log)
}
