package app

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"integration-gateway/modules/access"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/config"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/tlsfiles"
)

// listeners makes the public listener and that of the management API, which are the same
// unless configured separately. If they are separate, the public one has no management
// routes.
func (g *system) listeners(cfg config.Config, d httpapi.Deps) error {
	public, err := g.certificate("public", "TLS_CERT_FILE", cfg.Listeners.Public, d.Log)
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
	if own.TLS, err = g.certificate("management", "MANAGEMENT_TLS_CERT_FILE, or else TLS_CERT_FILE", cfg.Listeners.Management, d.Log); err != nil {
		return err
	}
	g.manager = httpapi.New(own, d)
	return nil
}

// certificate reads a listener's TLS files, and has them reloaded once the process runs. It
// returns nil if there are none.
func (g *system) certificate(name, setting string, paths tlsfiles.Paths, log *slog.Logger) (*tls.Config, error) {
	if paths.Cert == "" {
		return nil, nil //nolint:nilnil // plain HTTP
	}
	follower, err := tlsfiles.Open(name, paths, clock.System, log)
	if err != nil {
		return nil, fmt.Errorf("%s: the TLS files of the %s listener: %w", setting, name, err)
	}
	g.certReloaders = append(g.certReloaders, follower)
	return follower.Config(), nil
}

// certificates returns until when the listeners' certificates are valid, by listener.
func (g *system) certificates() map[string]time.Time {
	expiries := map[string]time.Time{}
	for _, follower := range g.certReloaders {
		expiries[follower.Name()] = follower.Expires()
	}
	return expiries
}

// usedCertificates are the listeners' certificates, and with the name destination the client
// certificate of a destination that expires first.
func (g *system) usedCertificates() map[string]time.Time {
	expiries := g.certificates()
	for _, end := range g.delivery.ClientCertificates() {
		if first, is := expiries["destination"]; !is || end.Before(first) {
			expiries["destination"] = end
		}
	}
	return expiries
}

// reloadCertificates returns the parts that reload certificates as long as the listeners
// run.
func (g *system) reloadCertificates(front stage) stage {
	for _, follower := range g.certReloaders {
		front = append(front, part{"certificates", follower.Run})
	}
	return front
}

// issuerTokens returns the authenticator for the configured issuer's bearer tokens, with which
// people sign in to the console too; nil if there is none.
func (g *system) issuerTokens(cfg config.Config) httpapi.Authenticator {
	o := cfg.Listeners.OIDC
	if o.Issuer == "" {
		return nil
	}
	roles := map[string]httpapi.Role{}
	for value, name := range o.Roles {
		roles[value], _ = httpapi.ParseRole(name) // config accepts no other
	}
	g.tokens = access.NewTokens(access.TokensConfig{Issuer: o.Issuer, Audience: o.Audience, RoleClaim: o.RoleClaim, Roles: roles, SourcesClaim: o.SourcesClaim,
		Client: access.Client{ID: o.ClientID, Secret: o.ClientSecret, Scopes: o.Scopes}}, access.TokensDeps{Log: g.log, Now: clock.System, Sources: g.integrations})
	return g.tokens
}
