package app

import (
	"context"
	"os"

	"integration-gateway/platform/config"
	"integration-gateway/platform/provider"
)

// Reloading is how a running process is told to reload its settings file.
type Reloading struct {
	Signals <-chan os.Signal
	Load    func() (config.Config, error) // the same as at start
	Level   func(name string)             // sets the level of the log
}

type reloadingKey struct{}

// WithReloading returns a context in which a process reloads.
func WithReloading(ctx context.Context, r Reloading) context.Context {
	return context.WithValue(ctx, reloadingKey{}, r)
}

// reload applies, on each signal, the settings that can change without a restart: the log
// level, the allowed destinations, and the providers in the file. Invalid settings change
// nothing. Certificates are reloaded without a signal.
func (g *system) reload(ctx context.Context) error {
	r, ok := ctx.Value(reloadingKey{}).(Reloading)
	if !ok {
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.Signals:
		}
		cfg, err := r.Load()
		var known provider.Registry
		if err == nil {
			known, err = Providers(cfg)
		}
		if err != nil {
			g.log.ErrorContext(ctx, "SIGHUP: the new settings are invalid; still using the previous ones", "error", err)
			continue
		}
		r.Level(cfg.Log.Level)
		g.egressClient.SetRules(cfg.EgressAllow, cfg.EgressDeny)
		g.providers.Replace(known)
		g.metrics.Configured(g.settings.reloaded(cfg))
		g.log.InfoContext(ctx, "SIGHUP: reloaded the log level, EGRESS_ALLOW, EGRESS_DENY and the providers; other settings need a restart", "log_level", cfg.Log.Level)
	}
}
