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

// demoSource is an integration that seed creates, with a well-known secret.
type demoSource struct {
	name   string // of the source and of its provider
	title  string
	secret string
	header string // the header with a webhook's credential
}

var (
	acme   = demoSource{"acme", "Acme (demo)", "acme-demo-secret", "x-acme-signature"}
	globex = demoSource{"globex", "Globex (demo)", "globex-demo-secret", "x-globex-token"}
)

func demoSources() []demoSource { return []demoSource{acme, globex} }

// credential returns the proof for a body: acme's signature, or globex's token.
func (s demoSource) credential(body []byte) string {
	if s.name != acme.name {
		return s.secret
	}
	mac := hmac.New(sha256.New, []byte(s.secret))
	_, _ = mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// refuseDemoSecrets fails, in production, if a source has a secret from our documentation.
func (g *system) refuseDemoSecrets(ctx context.Context, cfg config.Config) error {
	if cfg.Env != config.Production {
		return nil
	}
	var known []string
	err := g.integrations.EachSecret(ctx, func(source string, value secret.Value) {
		if name := demoSecret(value); name != "" {
			known = append(known, source+" (the demo secret of "+name+")")
		}
	})
	if err != nil {
		return fmt.Errorf("check the sources' secrets: %w", err)
	}
	if len(known) > 0 {
		return fmt.Errorf("in production no source may have a well-known secret: %s; give it a new secret, or deactivate it",
			strings.Join(known, ", "))
	}
	return nil
}

// demoSecret returns the demo source with this secret, or "".
func demoSecret(value secret.Value) string {
	for _, s := range demoSources() {
		if value.Equal(s.secret) {
			return s.name
		}
	}
	return ""
}
