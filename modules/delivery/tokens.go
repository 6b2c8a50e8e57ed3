package delivery

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
	"integration-gateway/platform/egress"
)

// tokenMargin is how long before its end a token is not used any more.
const tokenMargin = 10 * time.Second

// tokens keeps the access tokens of this process, by destination.
type tokens struct {
	client *http.Client // goes where deliveries go, and nowhere else
	now    clock.Now

	mu     sync.Mutex
	grants map[string]*grant
}

// grant is how a destination's tokens are asked for, and the last one. turn is held by
// whoever asks, so that one request serves all attempts that wait.
type grant struct {
	sealed string // the credential that it was made of
	config clientcredentials.Config
	turn   chan struct{}
	token  *oauth2.Token
}

func newTokens(sender Sender, now clock.Now) *tokens {
	return &tokens{now: now, grants: map[string]*grant{}, client: &http.Client{
		Transport:     sending{sender},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// grantOf gives a destination's grant; a changed credential makes a new one.
func (t *tokens) grantOf(d destination) *grant {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.grants[d.ID]
	if g == nil || g.sealed != *d.SealedAuth {
		g = &grant{sealed: *d.SealedAuth, turn: make(chan struct{}, 1), config: clientcredentials.Config{
			ClientID: d.auth.ClientID, ClientSecret: d.auth.ClientSecret, TokenURL: d.auth.TokenURL, Scopes: d.auth.Scopes}}
		t.grants[d.ID] = g
	}
	return g
}

// get gives a token that is good now, from memory or from the token endpoint. Its errors
// hold no credential.
func (t *tokens) get(ctx context.Context, d destination) (*oauth2.Token, error) {
	g := t.grantOf(d)
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return nil, errLateToken
	}
	if g.token != nil && (g.token.Expiry.IsZero() || t.now().Before(g.token.Expiry.Add(-tokenMargin))) {
		return g.token, nil
	}
	token, err := g.config.Token(context.WithValue(ctx, oauth2.HTTPClient, t.client))
	if err != nil {
		return nil, tokenError(err)
	}
	g.token = token
	return token, nil
}

// drop forgets a token that its destination did not accept.
func (t *tokens) drop(ctx context.Context, d destination, token *oauth2.Token) {
	g := t.grantOf(d)
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return
	}
	if g.token == token {
		g.token = nil
	}
}

// errLateToken is no context.DeadlineExceeded: the destination was never asked.
var errLateToken = errors.New("no access token: the token endpoint did not answer within the attempt's time")

// tokenError says what went wrong without the endpoint's URL and answer, which may repeat
// the credential.
func tokenError(err error) error {
	var refused *oauth2.RetrieveError
	var transport *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errLateToken
	case errors.As(err, &refused) && refused.ErrorCode != "":
		return fmt.Errorf("no access token: the token endpoint answered HTTP %d (%s)", refused.Response.StatusCode, brief(refused.ErrorCode))
	case errors.As(err, &refused):
		return fmt.Errorf("no access token: the token endpoint answered HTTP %d", refused.Response.StatusCode)
	case errors.As(err, &transport):
		return fmt.Errorf("no access token: the token endpoint: %w", transport.Err)
	}
	return errors.New("no access token: the token endpoint's answer holds none")
}

// noToken is an error of the token endpoint, as against the destination's.
type noToken struct{ error }

func (e noToken) Unwrap() error { return e.error }

// sending is a Sender as the transport of an http.Client.
type sending struct{ sender Sender }

func (s sending) RoundTrip(req *http.Request) (*http.Response, error) {
	answer, err := s.sender.Do(req, nil)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: answer.Status, Status: http.StatusText(answer.Status), Header: answer.Header,
		Body: io.NopCloser(bytes.NewReader(answer.Body)), Request: req}, nil
}

// authorizedDo sends req with the destination's credential. A token that it does not accept
// is not used again.
func (m *Module) authorizedDo(ctx context.Context, d destination, req *http.Request) (egress.Response, error) {
	switch d.auth.kind() {
	case authBasic:
		req.SetBasicAuth(d.auth.Username, d.auth.Password)
	case authBearer:
		req.Header.Set("Authorization", "Bearer "+d.auth.Token)
	case authOAuth:
		token, err := m.tokens.get(ctx, d)
		if err != nil {
			return egress.Response{}, noToken{err}
		}
		token.SetAuthHeader(req)
		answer, err := m.sender.Do(req, d.trust())
		if err == nil && answer.Status == http.StatusUnauthorized {
			m.tokens.drop(ctx, d, token)
		}
		return answer, err
	}
	return m.sender.Do(req, d.trust())
}
