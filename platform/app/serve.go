package app

import (
	"context"
	"log/slog"

	"integration-gateway/modules/processes"
	"integration-gateway/platform/config"
)

// Serve receives webhooks and serves the management API until ctx ends. With both it also
// delivers.
func Serve(ctx context.Context, cfg config.Config, log *slog.Logger, both bool) error {
	p := process{role: processes.RoleServe, answers: (*system).frontListeners}
	if both {
		p.role, p.queues = processes.RoleBoth, allQueues
	}
	return p.run(ctx, cfg, log)
}

// frontListeners returns the listeners for webhooks and for the management API, if it is
// separate.
func (g *system) frontListeners() []listener {
	all := []listener{{Server: g.server, name: "http", setting: "APP_HOST and APP_PORT"}}
	if g.manager != g.server {
		all = append(all, listener{Server: g.manager, name: "management", setting: "MANAGEMENT_ADDR"})
	}
	return all
}
