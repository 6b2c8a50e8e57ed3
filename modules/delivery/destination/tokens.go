package destination

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"integration-gateway/platform/clock"
)

// TokenMargin is how long before its expiry a token is no longer used.
const TokenMargin = 10 * time.Second

// tokens caches this process's access tokens by destination.
type tokens struct {
	client *http.Client // with the egress rules of deliveries
	now    clock.Now

	mu     sync.Mutex
	grants map[string]*grant
}

// grant requests a destination's tokens and holds the last one. The attempt that requests a
// token holds asking, so that one request serves all waiting attempts.
type grant struct {
	sealed string // the credential that it was built from
	config clientcredentials.Config
	asking chan struct{}
	token  *oauth2.Token
}

func newTokens(sender Sender, now clock.Now) *tokens {
	return &tokens{now: now, grants: map[string]*grant{}, client: &http.Client{
		Transport:     sending{sender},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// grantOf returns a destination's grant; a changed credential gets a new one.
func (t *tokens) grantOf(d *Destination) *grant {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.grants[d.ID]
	if g == nil || g.sealed != *d.SealedAuth {
		g = &grant{sealed: *d.SealedAuth, asking: make(chan struct{}, 1), config: clientcredentials.Config{
			ClientID: d.auth.ClientID, ClientSecret: d.auth.ClientSecret, TokenURL: d.auth.TokenURL, Scopes: d.auth.Scopes}}
		t.grants[d.ID] = g
	}
	return g
}

// get returns a valid token, from memory or from the token endpoint. Its errors contain no
// credential.
func (t *tokens) get(ctx context.Context, d *Destination) (*oauth2.Token, error) {
	g := t.grantOf(d)
	select {
	case g.asking <- struct{}{}:
		defer func() { <-g.asking }()
	case <-ctx.Done():
		return nil, errLateToken
	}
	if g.token != nil && (g.token.Expiry.IsZero() || t.now().Before(g.token.Expiry.Add(-TokenMargin))) {
		return g.token, nil
	}
	token, err := g.config.Token(context.WithValue(ctx, oauth2.HTTPClient, t.client))
	if err != nil {
		return nil, tokenError(err)
	}
	g.token = token
	return token, nil
}

// drop removes a token that its destination rejected.
func (t *tokens) drop(ctx context.Context, d *Destination, token *oauth2.Token) {
	g := t.grantOf(d)
	select {
	case g.asking <- struct{}{}:
		defer func() { <-g.asking }()
	case <-ctx.Done():
		return
	}
	if g.token == token {
		g.token = nil
	}
}

// errLateToken is not a context.DeadlineExceeded: the destination was never called.
var errLateToken = errors.New("no access token: the token endpoint did not answer within the attempt's time")

// tokenError describes an error without the endpoint's URL and answer, which may contain the
// credential.
func tokenError(err error) error {
	var refused *oauth2.RetrieveError
	var transport *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errLateToken
	case errors.As(err, &refused) && refused.ErrorCode != "":
		return fmt.Errorf("no access token: the token endpoint answered HTTP %d (%s)", refused.Response.StatusCode, Brief(refused.ErrorCode))
	case errors.As(err, &refused):
		return fmt.Errorf("no access token: the token endpoint answered HTTP %d", refused.Response.StatusCode)
	case errors.As(err, &transport):
		return fmt.Errorf("no access token: the token endpoint: %w", transport.Err)
	}
	return errors.New("no access token: the token endpoint's answer has none")
}

// TokenError is an error of the token endpoint, not of the destination.
type TokenError struct{ Err error }

func (e TokenError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e TokenError) Unwrap() error { return e.Err }

// sending adapts a Sender to the transport of an http.Client.
type sending struct{ sender Sender }

func (s sending) RoundTrip(req *http.Request) (*http.Response, error) {
	answer, err := s.sender.Do(req, nil)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: answer.Status, Status: http.StatusText(answer.Status), Header: answer.Header,
		Body: io.NopCloser(bytes.NewReader(answer.Body)), Request: req}, nil
}
