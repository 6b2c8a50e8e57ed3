package access

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/secret"
)

// Client is the issuer's client with which people sign in by the authorization code flow.
type Client struct {
	ID     string       // "": nobody can sign in
	Secret secret.Value // empty for a public client, which PKCE alone protects
	Scopes []string     // openid among them
}

// loginEndpoints are an issuer's addresses for the authorization code flow, and how clients may
// show their secret at the second.
type loginEndpoints struct {
	authorize, token string
	methods          []string // empty: by HTTP Basic (OpenID Connect Discovery, section 3)
}

const maxErrorCode = 60 // bytes of an issuer's error that are shown

// IssuerName is the issuer's host, as people know it.
func (t *Tokens) IssuerName() string {
	if u, err := url.Parse(t.cfg.Issuer); err == nil {
		return u.Host
	}
	return t.cfg.Issuer
}

// Terms identifies what tokens are accepted and what they allow, as configured. What was derived
// of a token under other terms is no more valid.
func (t *Tokens) Terms() string {
	text, _ := json.Marshal([]any{t.cfg.Issuer, t.cfg.Audience, t.cfg.Client.ID, t.cfg.RoleClaim, t.cfg.Roles, t.cfg.SourcesClaim}) // strings and numbers always marshal
	return string(text)
}

// Authorization returns the issuer's address at which a person signs in (OpenID Connect Core,
// section 3.1.2.1, with RFC 7636); fault.Unavailable while the issuer is not there.
func (t *Tokens) Authorization(ctx context.Context, f contract.CodeFlow) (string, error) {
	cfg, err := t.oauth(ctx, f)
	if err != nil {
		return "", err
	}
	return cfg.AuthCodeURL(f.State, oauth2.S256ChallengeOption(f.Verifier), oauth2.SetAuthURLParam("nonce", f.Nonce)), nil
}

// oauth is the client with the addresses that the issuer has now.
func (t *Tokens) oauth(ctx context.Context, f contract.CodeFlow) (*oauth2.Config, error) {
	keys, err := t.issuer.keysOf(ctx, minRefetch)
	t.issuer.mu.Lock()
	login := t.issuer.login
	t.issuer.mu.Unlock()
	switch {
	case err != nil || len(keys) == 0:
		t.warnUnavailable(ctx, err)
		return nil, httpapi.Unchecked(minRefetch)
	case login.authorize == "" || login.token == "" || strings.HasPrefix(t.cfg.Issuer, "https://") && (!strings.HasPrefix(login.authorize, "https://") || !strings.HasPrefix(login.token, "https://")):
		return nil, fault.Unavailable.New("issuer_unfit", "The issuer names no https addresses for signing in.")
	}
	style := oauth2.AuthStyleInParams
	if !t.cfg.Client.Secret.Empty() && (len(login.methods) == 0 || slices.Contains(login.methods, "client_secret_basic")) {
		style = oauth2.AuthStyleInHeader
	}
	return &oauth2.Config{ClientID: t.cfg.Client.ID, ClientSecret: t.cfg.Client.Secret.Reveal(), Scopes: t.cfg.Client.Scopes, RedirectURL: f.Redirect,
		Endpoint: oauth2.Endpoint{AuthURL: login.authorize, TokenURL: login.token, AuthStyle: style}}, nil
}

// Redeem exchanges the code with which the issuer answered, and returns who signed in, with the
// role and sources that the API gives the holder of the token, and until when. It is
// fault.Unauthorized if the code, or what was got for it, is not of this flow or not for this
// gateway; fault.Unavailable if the issuer cannot say.
func (t *Tokens) Redeem(ctx context.Context, code string, f contract.CodeFlow) (httpapi.Caller, time.Time, error) {
	cfg, err := t.oauth(ctx, f)
	if err != nil {
		return httpapi.Caller{}, time.Time{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.issuer.timeout)
	defer cancel()
	alone := *t.issuer.client
	alone.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // what is sent stays with the issuer
	answer, err := cfg.Exchange(context.WithValue(ctx, oauth2.HTTPClient, &alone), code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return httpapi.Caller{}, time.Time{}, t.notRedeemed(ctx, err)
	}
	idToken, _ := answer.Extra("id_token").(string)
	id, err := t.verify(ctx, idToken, t.cfg.Client.ID)
	if err != nil {
		return httpapi.Caller{}, time.Time{}, err
	}
	var claims struct {
		Party string `json:"azp"`
	}
	switch err := id.Claims(&claims); {
	case subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.Nonce)) != 1:
		return httpapi.Caller{}, time.Time{}, httpapi.Refuse("wrong_nonce")
	case err != nil || claims.Party != "" && claims.Party != t.cfg.Client.ID || id.AccessTokenHash != "" && id.VerifyAccessToken(answer.AccessToken) != nil:
		return httpapi.Caller{}, time.Time{}, httpapi.Refuse("unfit_token")
	}
	return t.first(ctx, answer.AccessToken, idToken)
}

// first returns the caller of the first token that the API accepts and that gives a role; without
// a role, of the first that it accepts.
func (t *Tokens) first(ctx context.Context, tokens ...string) (caller httpapi.Caller, until time.Time, err error) {
	accepted := false
	for _, token := range tokens {
		its, expires, refused := t.authenticate(ctx, token)
		switch {
		case refused != nil && !fault.Is(refused, fault.Unauthorized):
			return httpapi.Caller{}, time.Time{}, refused
		case refused != nil:
			err = refused
		case its.Role > 0:
			return its, expires, nil
		case !accepted:
			accepted, caller, until = true, its, expires
		}
	}
	if accepted {
		return caller, until, nil
	}
	return httpapi.Caller{}, time.Time{}, err
}

// notRedeemed classifies why the issuer gave no tokens (RFC 6749, section 5.2).
func (t *Tokens) notRedeemed(ctx context.Context, err error) error {
	var said *oauth2.RetrieveError
	if !errors.As(err, &said) || said.ErrorCode == "" || said.Response == nil || said.Response.StatusCode >= http.StatusInternalServerError {
		t.warnUnavailable(ctx, truncated("exchange a code", err))
		return httpapi.Unchecked(minRefetch)
	}
	if said.ErrorCode == "invalid_grant" {
		return httpapi.Refuse("wrong_code")
	}
	t.d.Log.WarnContext(ctx, "the issuer refuses the client with which people sign in", "module", "access", "error", truncated("exchange a code", err))
	return fault.Unavailable.New("client_refused", "The issuer refuses this gateway's client (%s): OIDC_CLIENT_ID, OIDC_CLIENT_SECRET or the client's settings at the issuer are wrong.",
		said.ErrorCode[:min(len(said.ErrorCode), maxErrorCode)])
}

// Restore returns the caller that a token gave earlier, with the integrations that its sources
// have now. nil sources are all.
func (t *Tokens) Restore(ctx context.Context, actor string, role httpapi.Role, sources []string) (httpapi.Caller, error) {
	caller := httpapi.Caller{Actor: actor, Role: role}
	if sources == nil {
		return caller, nil
	}
	caller, err := t.restricted(ctx, caller, sources)
	if err != nil {
		return caller, fmt.Errorf("restore a session's sources: %w", err)
	}
	return caller, nil
}
