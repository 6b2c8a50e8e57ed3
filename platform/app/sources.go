package app

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"integration-gateway/platform/config"
	"integration-gateway/platform/secret"
)

// demoSource is an integration that seed makes, with a secret that everybody knows.
type demoSource struct {
	name   string // of the source and of its provider
	title  string
	secret string
	header string // where a webhook's credential stands
}

var (
	acme   = demoSource{"acme", "Acme (demo)", "acme-demo-secret", "x-acme-signature"}
	globex = demoSource{"globex", "Globex (demo)", "globex-demo-secret", "x-globex-token"}
)

func demoSources() []demoSource { return []demoSource{acme, globex} }

// credential proves a body: acme signs it, globex shows a token.
func (s demoSource) credential(body []byte) string {
	if s.name != acme.name {
		return s.secret
	}
	mac := hmac.New(sha256.New, []byte(s.secret))
	_, _ = mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

const selectActiveSecretsSQL = `
SELECT i.source, s.secret
FROM   integration_secrets s
JOIN   integrations i ON i.id = s.integration_id
WHERE  s.is_active AND i.is_active
ORDER  BY i.source`

// refuseDemoSecrets fails, in production, when a source can be written to by
// everybody who has read our documentation.
func (g *system) refuseDemoSecrets(ctx context.Context, cfg config.Config) error {
	if cfg.Env != config.Production {
		return nil
	}
	var active []struct {
		Source string `db:"source"`
		Secret string `db:"secret"`
	}
	if err := g.db.Select(ctx, &active, selectActiveSecretsSQL); err != nil {
		return fmt.Errorf("check the sources' secrets: %w", err)
	}
	var known []string
	for _, a := range active {
		value, err := g.ring.Open(a.Secret)
		if err != nil {
			continue // it verifies nothing
		}
		if name := demoSecret(value); name != "" {
			known = append(known, a.Source+" (the demo secret of "+name+")")
		}
	}
	if len(known) > 0 {
		return fmt.Errorf("in production no source may have a secret that everybody knows: %s; give it one of its own, or deactivate it",
			strings.Join(known, ", "))
	}
	return nil
}

// demoSecret names the demo source whose secret value is, or "".
func demoSecret(value secret.Value) string {
	for _, s := range demoSources() {
		if value.Equal(s.secret) {
			return s.name
		}
	}
	return ""
}
