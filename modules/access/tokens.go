package access

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// TokensConfig says whose tokens are believed, and what they may do.
type TokensConfig struct {
	Issuer       string // its URL, letter for letter as in a token's iss
	Audience     string // what a token's aud must hold
	RoleClaim    string // where the roles stand: a claim's name, or a path with dots
	Roles        map[string]httpapi.Role
	SourcesClaim string // where the sources stand that a token is confined to; "": to none
}

// TokensDeps is what tokens need from the outside.
type TokensDeps struct {
	Log     *slog.Logger
	Now     clock.Now
	Sources Sources
}

// Tokens knows the bearer tokens of an OpenID Connect issuer: JSON Web Tokens (RFC 7519)
// with an asymmetric signature. None is kept.
type Tokens struct {
	cfg    TokensConfig
	d      TokensDeps
	issuer *issuer
	told   atomic.Int64 // the minute in which the log was last told that the issuer is away
}

// NewTokens asks the issuer for nothing yet.
func NewTokens(cfg TokensConfig, d TokensDeps) *Tokens {
	return &Tokens{cfg: cfg, d: d, issuer: newIssuer(cfg.Issuer, d.Now)}
}

// everySource stands in the claim of sources for all of them.
const everySource = "*"

// maxSubject is the longest sub that an issuer may give (OpenID Connect Core, section 2).
const maxSubject = 255

// Authenticate finds who shows a token. One that is right but has no role that is known,
// or no source where it needs some, is a caller who may do nothing.
func (t *Tokens) Authenticate(ctx context.Context, token string) (httpapi.Caller, error) {
	signed := &signature{issuer: t.issuer}
	id, err := oidc.NewVerifier(t.cfg.Issuer, signed, &oidc.Config{
		ClientID: t.cfg.Audience, SupportedSigningAlgs: algorithms, Now: t.d.Now,
	}).Verify(ctx, token)
	var expired *oidc.TokenExpiredError
	switch {
	case signed.away != nil:
		t.tellAway(ctx, signed.away)
		return httpapi.Caller{}, httpapi.Unchecked(readAgain)
	case errors.As(err, &expired):
		return httpapi.Caller{}, httpapi.Refuse("expired_token")
	case err != nil && signed.holds: // the issuer's own words, so that they may be shown
		t.d.Log.DebugContext(ctx, "a token of the issuer is not for this gateway", "module", "access", "error", err)
		return httpapi.Caller{}, httpapi.Refuse("unfit_token")
	case err != nil:
		return httpapi.Caller{}, httpapi.Refuse("wrong_token")
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil || !nameable(id.Subject) {
		return httpapi.Caller{}, httpapi.Refuse("unfit_token")
	}
	return t.callerOf(ctx, "oidc:"+id.Subject, claims)
}

// tellAway tells the log why the issuer is away, once in a minute however many tokens come.
func (t *Tokens) tellAway(ctx context.Context, why error) {
	minute := t.d.Now().Unix() / 60
	if ctx.Err() == nil && t.told.Swap(minute) != minute {
		t.d.Log.WarnContext(ctx, "the issuer of tokens cannot be asked for its keys", "module", "access", "error", why)
	}
}

// nameable reports whether a subject can stand in the audit trail.
func nameable(subject string) bool {
	return subject != "" && len(subject) <= maxSubject && utf8.ValidString(subject) &&
		!strings.ContainsFunc(subject, func(r rune) bool { return !unicode.IsPrint(r) })
}

func (t *Tokens) callerOf(ctx context.Context, actor string, claims map[string]any) (httpapi.Caller, error) {
	caller := httpapi.Caller{Actor: actor}
	for _, name := range valuesAt(claims, t.cfg.RoleClaim) {
		caller.Role = max(caller.Role, t.cfg.Roles[name])
	}
	if t.cfg.SourcesClaim == "" {
		return caller, nil
	}
	sources := valuesAt(claims, t.cfg.SourcesClaim)
	switch {
	case slices.Contains(sources, everySource):
		return caller, nil
	case len(sources) == 0 || len(sources) > maxSources:
		caller.Role = 0
		return caller, nil
	}
	known, err := t.d.Sources.IntegrationsOf(ctx, sources)
	if err != nil {
		return httpapi.Caller{}, fault.Unavailable.Wrap(err, "sources_unknown", "The token's sources cannot be looked up at the moment.").After(time.Second)
	}
	caller.Scope = &httpapi.Scope{Sources: sources}
	for _, source := range sources {
		if integrationID, is := known[source]; is {
			caller.Scope.Integrations = append(caller.Scope.Integrations, integrationID)
		}
	}
	return caller, nil
}

// valuesAt gives the texts of a claim: those of a list, or the words of one text, which is
// how OAuth 2 writes scopes.
func valuesAt(claims map[string]any, path string) []string {
	var texts []string
	switch value := claimAt(claims, path).(type) {
	case string:
		texts = strings.Fields(value)
	case []any:
		for _, item := range value {
			if text, ok := item.(string); ok {
				texts = append(texts, text)
			}
		}
	}
	return texts
}

// claimAt finds a claim by its name, which may have dots (https://example.com/roles), or
// by a path (realm_access.roles); nil where there is none.
func claimAt(claims map[string]any, path string) any {
	if value, found := claims[path]; found {
		return value
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if inner, ok := claims[path[:i]].(map[string]any); ok {
			return claimAt(inner, path[i+1:])
		}
	}
	return nil
}
