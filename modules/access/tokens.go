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

// TokensConfig says which issuer's tokens are accepted and what they allow.
type TokensConfig struct {
	Issuer       string // its URL, exactly as in a token's iss
	Audience     string // required in a token's aud
	RoleClaim    string // the claim that holds the roles: a name, or a path with dots
	Roles        map[string]httpapi.Role
	SourcesClaim string // the claim that holds the sources a token is restricted to; "": no restriction
	Client       Client // with which people sign in
}

// TokensDeps is what tokens need from the outside.
type TokensDeps struct {
	Log     *slog.Logger
	Now     clock.Now
	Sources Sources
}

// Tokens authenticates the bearer tokens of an OpenID Connect issuer: JSON Web Tokens (RFC
// 7519) with an asymmetric signature. It stores none.
type Tokens struct {
	cfg          TokensConfig
	d            TokensDeps
	issuer       *issuer
	warnedMinute atomic.Int64 // the minute of the last log line about an unavailable issuer
}

// NewTokens makes no request to the issuer yet.
func NewTokens(cfg TokensConfig, d TokensDeps) *Tokens {
	return &Tokens{cfg: cfg, d: d, issuer: newIssuer(cfg.Issuer, d.Now)}
}

// allSources in the sources claim means no restriction.
const allSources = "*"

// maxSubject is the longest valid sub (OpenID Connect Core, section 2).
const maxSubject = 255

// Authenticate returns the caller of a token. A valid token without a known role, or
// without a source where one is needed, gives a caller without permissions.
func (t *Tokens) Authenticate(ctx context.Context, token string) (httpapi.Caller, error) {
	caller, _, err := t.authenticate(ctx, token)
	return caller, err
}

// authenticate also returns when the token expires.
func (t *Tokens) authenticate(ctx context.Context, token string) (httpapi.Caller, time.Time, error) {
	id, err := t.verify(ctx, token, t.cfg.Audience)
	if err != nil {
		return httpapi.Caller{}, time.Time{}, err
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil || !printable(id.Subject) {
		return httpapi.Caller{}, time.Time{}, httpapi.Refuse("unfit_token")
	}
	caller, err := t.callerOf(ctx, "oidc:"+id.Subject, claims)
	return caller, id.Expiry, err
}

// verify checks a token that the issuer made for an audience.
func (t *Tokens) verify(ctx context.Context, token, audience string) (*oidc.IDToken, error) {
	signed := &signature{issuer: t.issuer}
	id, err := oidc.NewVerifier(t.cfg.Issuer, signed, &oidc.Config{
		ClientID: audience, SupportedSigningAlgs: algorithms, Now: t.d.Now,
	}).Verify(ctx, token)
	var expired *oidc.TokenExpiredError
	switch {
	case signed.unavailable != nil:
		t.warnUnavailable(ctx, signed.unavailable)
		return nil, httpapi.Unchecked(minRefetch)
	case errors.As(err, &expired):
		return nil, httpapi.Refuse("expired_token")
	case err != nil && signed.valid: // the issuer's own content, so it may be logged
		t.d.Log.DebugContext(ctx, "the issuer signed this token, but not for this gateway", "module", "access", "error", err)
		return nil, httpapi.Refuse("unfit_token")
	case err != nil:
		return nil, httpapi.Refuse("wrong_token")
	}
	return id, nil
}

// warnUnavailable logs why the issuer is unavailable, at most once a minute however many
// tokens come.
func (t *Tokens) warnUnavailable(ctx context.Context, why error) {
	minute := t.d.Now().Unix() / 60
	if ctx.Err() == nil && t.warnedMinute.Swap(minute) != minute {
		t.d.Log.WarnContext(ctx, "cannot fetch the token issuer's keys", "module", "access", "error", why)
	}
}

// printable reports whether a subject may appear in the audit trail.
func printable(subject string) bool {
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
	case slices.Contains(sources, allSources):
		return caller, nil
	case len(sources) == 0 || len(sources) > maxSources:
		caller.Role = 0
		return caller, nil
	}
	return t.restricted(ctx, caller, sources)
}

// restricted restricts a caller to sources.
func (t *Tokens) restricted(ctx context.Context, caller httpapi.Caller, sources []string) (httpapi.Caller, error) {
	known, err := t.d.Sources.IntegrationsOf(ctx, sources)
	if err != nil {
		return httpapi.Caller{}, fault.Unavailable.Wrap(err, "sources_unknown", "The token's sources cannot be looked up right now.").After(time.Second)
	}
	caller.Scope = &httpapi.Scope{Sources: sources}
	for _, source := range sources {
		if integrationID, is := known[source]; is {
			caller.Scope.Integrations = append(caller.Scope.Integrations, integrationID)
		}
	}
	return caller, nil
}

// valuesAt returns the strings of a claim: the elements of a list, or the words of one
// string, which is how OAuth 2 writes scopes.
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

// claimAt returns a claim by its name, which may contain dots (https://example.com/roles),
// or by a path (realm_access.roles); nil if there is none.
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
