package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"integration-gateway/platform/clock"
)

// The pace at which an issuer's keys are read, and the bounds of it.
const (
	keysFresh     = 5 * time.Minute  // what a key may go on for that the issuer has withdrawn
	keysKept      = time.Hour        // and what one may while the issuer is away
	readAgain     = 10 * time.Second // at the earliest, whatever tokens come
	readTimeout   = 5 * time.Second
	documentBytes = 1 << 20
	errorBytes    = 300 // of an issuer's error, for the log
)

// algorithms are those whose keys are public: with a shared secret, whoever can verify a
// token could make one.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

func joseAlgorithms() []jose.SignatureAlgorithm {
	names := make([]jose.SignatureAlgorithm, len(algorithms))
	for i, name := range algorithms {
		names[i] = jose.SignatureAlgorithm(name)
	}
	return names
}

// issuer knows the public keys of an OpenID Connect issuer. They are read when somebody
// needs them: the gateway starts while the issuer is away, and tokens with made-up key
// ids have it asked no more than once in readAgain. The library's own set of keys is not
// used, since it never forgets a key that was withdrawn, and asks again at each bad token.
type issuer struct {
	url    string
	client *http.Client
	within time.Duration // of asking for all that it takes
	now    clock.Now

	flight singleflight.Group // reads the keys, while those that are known serve

	mu    sync.Mutex
	keys  []jose.JSONWebKey
	read  time.Time // when these keys were asked for
	tried time.Time // when the issuer was last asked
	err   error     // what came of it
}

func newIssuer(url string, now clock.Now) *issuer {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:errcheck // net/http's own
	return &issuer{url: url, now: now, within: readTimeout, client: &http.Client{
		Transport: guardedTransport{next: transport, secure: strings.HasPrefix(url, "https://")}}}
}

// guardedTransport bounds what an issuer answers, and goes nowhere in the clear when the
// issuer itself is not: neither by a redirect nor for the keys.
type guardedTransport struct {
	next   http.RoundTripper
	secure bool
}

func (g guardedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if g.secure && r.URL.Scheme != "https" {
		return nil, fmt.Errorf("the issuer names an address that is not https: %s", r.URL.Host)
	}
	res, err := g.next.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, documentBytes), res.Body}
	}
	return res, err
}

// signature checks one token's signature for the library, which gives no errors on.
type signature struct {
	issuer *issuer
	holds  bool
	away   error // why it could not be checked
}

// VerifySignature makes signature an oidc.KeySet.
func (s *signature) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(token, joseAlgorithms())
	if err != nil {
		return nil, fmt.Errorf("read the token: %w", err)
	}
	keyID := signed.Signatures[0].Header.KeyID
	named := func(k jose.JSONWebKey) bool { return keyID != "" && k.KeyID == keyID }
	keys, err := s.issuer.keysOf(ctx, keysFresh)
	payload, holds := verified(signed, keys)
	if !holds && len(keys) > 0 && !slices.ContainsFunc(keys, named) {
		// Perhaps one that the issuer has just begun to use.
		keys, err = s.issuer.keysOf(ctx, readAgain)
		payload, holds = verified(signed, keys)
	}
	switch {
	case holds:
		s.holds = true
		return payload, nil
	case err != nil && (len(keys) == 0 || keyID == ""): // a name that known keys do not have is wrong, no name may be right
		s.away = err
		return nil, err
	}
	return nil, errors.New("no key of the issuer made this signature")
}

// verified gives what was signed, when one of the keys did it.
func verified(signed *jose.JSONWebSignature, keys []jose.JSONWebKey) (payload []byte, holds bool) {
	header := signed.Signatures[0].Header
	for _, key := range keys {
		if header.KeyID != "" && key.KeyID != header.KeyID || key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		if payload, err := signed.Verify(key); err == nil {
			return payload, true
		}
	}
	return nil, false
}

// keysOf gives the keys as they were at most age ago. Where they cannot be read, it gives
// an error, and beside it those of up to keysKept ago. Only those who need other keys than
// are known wait for the issuer.
func (i *issuer) keysOf(ctx context.Context, age time.Duration) ([]jose.JSONWebKey, error) {
	if keys, settled, err := i.known(age); settled {
		return keys, err
	}
	read := i.flight.DoChan("", func() (any, error) {
		if _, settled, _ := i.known(age); !settled { // or a flight that ended just now did it
			i.refresh(ctx)
		}
		return nil, nil //nolint:nilnil // what came of it is in i
	})
	select {
	case <-read:
		keys, _, err := i.known(age)
		return keys, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// known is what keysOf gives without asking; it is settled unless the issuer is to be
// asked first.
func (i *issuer) known(age time.Duration) (keys []jose.JSONWebKey, settled bool, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	if i.keys != nil && now.Sub(i.read) < age {
		return i.keys, true, nil
	}
	if i.err != nil && now.Sub(i.read) >= keysKept {
		i.keys = nil
	}
	return i.keys, now.Sub(i.tried) < readAgain, i.err
}

// refresh asks the issuer, and keeps what came of it.
func (i *issuer) refresh(ctx context.Context) {
	asked := i.now()
	keys, err := i.fetch(ctx)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tried, i.err = asked, err
	if err == nil {
		i.keys, i.read = keys, asked
	}
}

// fetch asks the issuer where its keys are, and then for the keys.
func (i *issuer) fetch(ctx context.Context) (_ []jose.JSONWebKey, err error) {
	defer func() {
		if v := recover(); v != nil { // singleflight would bring the process down
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), i.within)
	defer cancel()
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, i.client), i.url)
	if err != nil {
		return nil, shortened("discover the issuer", err)
	}
	var found struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&found); err != nil {
		return nil, shortened("discover the issuer", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, found.Keys, http.NoBody)
	if err != nil {
		return nil, shortened("ask the issuer for its keys", err)
	}
	res, err := i.client.Do(req)
	if err != nil {
		return nil, shortened("ask the issuer for its keys", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask the issuer for its keys: it answers %d", res.StatusCode)
	}
	return readKeys(res.Body)
}

// readKeys reads a JSON Web Key Set, and passes over what is no public key for signatures,
// or of a kind that is not known (RFC 7517, section 5).
func readKeys(from io.Reader) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.NewDecoder(from).Decode(&set); err != nil {
		return nil, fmt.Errorf("read the issuer's keys: %w", err)
	}
	var keys []jose.JSONWebKey
	for _, text := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(text, &key) == nil && key.IsPublic() && key.Use != "enc" {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the issuer publishes no key that can be used")
	}
	return keys, nil
}

// shortened says what went wrong, without all of an answer that is a page.
func shortened(doing string, err error) error {
	text := err.Error()
	return fmt.Errorf("%s: %s", doing, text[:min(len(text), errorBytes)])
}
