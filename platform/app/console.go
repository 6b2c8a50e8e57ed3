package app

import (
	"integration-gateway/modules/console"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
)

// addConsole puts the console beside the management API, unless it is off.
func (g *system) addConsole(cfg config.Config) {
	if !cfg.Console {
		return
	}
	d := console.Deps{DB: g.db, Log: g.log, Now: clock.Now(g.db.Now), Keys: g.access, Audit: g.audit}
	if cfg.Listeners.OIDC.ClientID != "" {
		d.Issuer = g.tokens
	}
	g.console = console.New(console.Config{ManagementKey: cfg.ManagementKey, PublicBaseURL: cfg.HTTP.PublicBaseURL, Version: cfg.Version}, d)
	g.console.Routes(g.manager)
}
