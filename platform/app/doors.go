package app

import (
	"crypto/tls"
	"fmt"
	"log/slog"

	"integration-gateway/modules/access"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/tlsfiles"
)

// listeners makes the public listener and that of the management API, which are one and
// the same unless configured apart. Apart, the public one has no management routes at all.
func (g *system) listeners(cfg config.Config, d httpapi.Deps) error {
	public, err := g.certificate("public", cfg.Doors.Public, d.Log)
	if err != nil {
		return err
	}
	own := httpConfig(cfg)
	own.TLS = public
	g.server = httpapi.New(own, d)
	g.manager = g.server
	if cfg.ManagementAddr == "" {
		return nil
	}
	own.Addr = cfg.ManagementAddr
	if own.TLS, err = g.certificate("management", cfg.Doors.Management, d.Log); err != nil {
		return err
	}
	g.manager = httpapi.New(own, d)
	return nil
}

// certificate reads a listener's TLS, and has its files followed once the process runs. It
// gives nil where there is none.
func (g *system) certificate(name string, paths tlsfiles.Paths, log *slog.Logger) (*tls.Config, error) {
	if paths.Cert == "" {
		return nil, nil //nolint:nilnil // plain HTTP
	}
	follower, err := tlsfiles.Open(name, paths, clock.System, log)
	if err != nil {
		return nil, fmt.Errorf("the TLS files of the %s listener: %w", name, err)
	}
	g.followers = append(g.followers, follower)
	return follower.Config(), nil
}

// following takes up new certificates for as long as the listeners run.
func (g *system) following(front stage) stage {
	for _, follower := range g.followers {
		front = append(front, part{"certificates", follower.Run})
	}
	return front
}

// tokens knows the bearer tokens of the configured issuer; nil where there is none.
func tokens(cfg config.Config, sources access.Sources, log *slog.Logger) httpapi.Authenticator {
	o := cfg.Doors.OIDC
	if o.Issuer == "" {
		return nil
	}
	roles := map[string]httpapi.Role{}
	for value, name := range o.Roles {
		roles[value], _ = httpapi.ParseRole(name) // config lets no other pass
	}
	return access.NewTokens(access.TokensConfig{Issuer: o.Issuer, Audience: o.Audience, RoleClaim: o.RoleClaim, Roles: roles, SourcesClaim: o.SourcesClaim},
		access.TokensDeps{Log: log, Now: clock.System, Sources: sources})
}
