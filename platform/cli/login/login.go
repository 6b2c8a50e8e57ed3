// Package login gets the tokens with which a person uses a gateway that has an OpenID Connect
// issuer: by device login (RFC 8628), cached in a file that only its owner can read, and
// refreshed. It prints no token, and sends one to its issuer alone.
package login

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"integration-gateway/platform/cli/target"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

const (
	leeway   = 30 * time.Second // a token that ends sooner is refreshed
	lockWait = 15 * time.Second // longer than a refresh by another process
	lockPoll = 50 * time.Millisecond
)

// Options say whose tokens these are.
type Options struct {
	API   string // the gateway's address: another gateway's token is never used
	Login target.Login
	Path  string // of the file with the token
	Now   clock.Now
	Wait  func(context.Context, time.Duration) bool // clock.Sleep
}

// Tokens are the tokens of one context's login.
type Tokens struct {
	o    Options
	http *http.Client

	mu     sync.Mutex
	cached *stored
}

// New reads nothing yet.
func New(o Options) *Tokens {
	alone := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // what is sent stays with the issuer
	return &Tokens{o: o, http: &http.Client{Transport: bounded{}, CheckRedirect: alone}}
}

// stored is the file: a token, and what it is for.
type stored struct {
	API          string       `json:"api"`
	Login        target.Login `json:"login"`
	Token        string       `json:"token"`
	ExpiresAt    time.Time    `json:"expiresAt"` // zero if unknown
	RefreshToken string       `json:"refreshToken,omitempty"`
}

func (s *stored) validFor(d time.Duration, now time.Time) bool {
	return s != nil && (s.ExpiresAt.IsZero() || s.ExpiresAt.After(now.Add(d)))
}

// LoggedIn reports whether there is a token, which may have to be refreshed.
func (t *Tokens) LoggedIn() (bool, error) {
	s, err := t.read()
	return s != nil && (s.RefreshToken != "" || s.validFor(0, t.o.Now())), err
}

// Token returns a token that is valid for a while. It refreshes the cached one when it is about
// to expire; processes that do so at the same time wait for the first of them.
func (t *Tokens) Token(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cached == nil {
		var err error
		if t.cached, err = t.read(); err != nil {
			return "", err
		}
	}
	switch {
	case t.cached.validFor(leeway, t.o.Now()):
		return t.cached.Token, nil
	case t.cached == nil:
		return "", notLoggedIn("you are not logged in")
	case t.cached.RefreshToken == "" && t.cached.validFor(0, t.o.Now()):
		return t.cached.Token, nil
	case t.cached.RefreshToken == "":
		return "", notLoggedIn("the login has expired, and the issuer gave nothing to refresh it with")
	}
	if err := t.refresh(ctx); err != nil {
		if fault.Is(err, fault.Unavailable) && t.cached.validFor(0, t.o.Now()) {
			return t.cached.Token, nil
		}
		return "", err
	}
	return t.cached.Token, nil
}

func notLoggedIn(text string) error { return fault.Unauthorized.New("not_logged_in", "%s", text) }

// refresh gets a new token, unless another process has just done so.
func (t *Tokens) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	lock := flock.New(t.o.Path + ".lock")
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		return fault.Unavailable.Wrap(err, "token_locked", "another command is refreshing the token in %s", t.o.Path)
	}
	defer func() { _ = lock.Unlock() }()
	now, err := t.read()
	switch {
	case err != nil:
		return err
	case now == nil || now.RefreshToken == "":
		t.cached = nil
		return notLoggedIn("you are not logged in any more")
	case now.validFor(leeway, t.o.Now()):
		t.cached = now
		return nil
	}
	at, err := t.discover(ctx)
	if err != nil {
		return err
	}
	a, err := t.post(ctx, at.token, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {now.RefreshToken}})
	switch {
	case err != nil:
		return err
	case a.Error == "invalid_grant":
		t.cached = nil
		if err := t.forget(); err != nil {
			return err
		}
		return notLoggedIn("the login has expired")
	case a.Error != "":
		return t.refused(a)
	}
	return t.keep(a, now.RefreshToken)
}

// keep stores an answer's token. An issuer that gives no new refresh token means the one before.
func (t *Tokens) keep(a answer, refreshToken string) error {
	s := stored{API: t.o.API, Login: t.o.Login, Token: a.AccessToken, RefreshToken: a.RefreshToken}
	if t.o.Login.IDToken {
		s.Token = a.IDToken
	}
	if s.RefreshToken == "" {
		s.RefreshToken = refreshToken
	}
	if s.Token == "" || strings.ContainsAny(s.Token, " \r\n\t") {
		return fault.Unavailable.New("issuer_unavailable", "the issuer at %s answered without a usable token", t.o.Login.Issuer)
	}
	if s.ExpiresAt = expiryOf(s.Token); s.ExpiresAt.IsZero() && a.ExpiresIn > 0 {
		s.ExpiresAt = t.o.Now().Add(time.Duration(min(a.ExpiresIn, int64(365*24*time.Hour/time.Second))) * time.Second)
	}
	text, err := json.Marshal(s) //nolint:gosec // for the file that only its owner reads
	if err != nil {
		return fmt.Errorf("write the token: %w", err)
	}
	t.cached = &s
	return target.WritePrivate(t.o.Path, text)
}

// expiryOf reads a JWT's exp, which is when the gateway stops accepting it; zero if the token
// shows none.
func expiryOf(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Expiry float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(text, &claims) != nil || claims.Expiry <= 0 || claims.Expiry > 1e11 {
		return time.Time{}
	}
	return time.Unix(int64(claims.Expiry), 0).UTC()
}

// read returns the stored token; nil if there is none for this gateway and login.
func (t *Tokens) read() (*stored, error) {
	text, err := os.ReadFile(t.o.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nobody has logged in
	}
	if err != nil {
		return nil, fmt.Errorf("read the token: %w", err)
	}
	var s stored
	if json.Unmarshal(text, &s) != nil || s.API != t.o.API || !reflect.DeepEqual(s.Login, t.o.Login) {
		return nil, nil //nolint:nilnil // of a context that was replaced
	}
	return &s, nil
}

// Logout forgets the token, and asks the issuer to revoke it (RFC 7009). The returned error
// says why the issuer did not; the token is forgotten all the same. It reports whether there
// was one.
func (t *Tokens) Logout(ctx context.Context) (was bool, revoking, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, err := t.read()
	if err == nil {
		err = t.forget()
	}
	t.cached = nil
	if err != nil || s == nil {
		return false, nil, err
	}
	return true, t.revoke(ctx, s), nil
}

func (t *Tokens) revoke(ctx context.Context, s *stored) error {
	token, hint := s.RefreshToken, "refresh_token"
	if token == "" {
		token, hint = s.Token, "access_token"
	}
	at, err := t.discover(ctx)
	switch {
	case err != nil:
		return err
	case at.revocation == "":
		return fmt.Errorf("the issuer at %s revokes no tokens", t.o.Login.Issuer)
	}
	a, err := t.post(ctx, at.revocation, url.Values{"token": {token}, "token_type_hint": {hint}})
	if err == nil && a.Error != "" {
		err = t.refused(a)
	}
	return err
}

func (t *Tokens) forget() error {
	if err := os.Remove(t.o.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the token: %w", err)
	}
	return nil
}
