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

// The cache times of an issuer's keys, and the limits on its answers.
const (
	keysFreshFor     = 5 * time.Minute  // how long a key withdrawn by the issuer is still accepted
	keysUsableFor    = time.Hour        // the same while the issuer is unavailable
	minRefetch       = 10 * time.Second // at least this long between two fetches
	fetchTimeout     = 5 * time.Second
	maxDocumentBytes = 1 << 20
	maxErrorBytes    = 300 // of an issuer's error that is logged
)

// algorithms are the asymmetric ones. With a shared secret, anyone who can verify a token
// could also make one.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

func joseAlgorithms() []jose.SignatureAlgorithm {
	names := make([]jose.SignatureAlgorithm, len(algorithms))
	for i, name := range algorithms {
		names[i] = jose.SignatureAlgorithm(name)
	}
	return names
}

// issuer caches the public keys of an OpenID Connect issuer. They are fetched on demand, so
// the gateway starts while the issuer is unavailable, and tokens with made-up key ids cause
// at most one fetch per minRefetch. The library's own key set is not used: it never drops a
// withdrawn key, and it fetches again for each invalid token.
type issuer struct {
	url     string
	client  *http.Client
	timeout time.Duration // for one fetch
	now     clock.Now

	flight singleflight.Group // one fetch at a time; known keys stay in use meanwhile

	mu        sync.Mutex
	keys      []jose.JSONWebKey
	login     loginEndpoints
	fetchedAt time.Time // when the fetch of these keys began
	triedAt   time.Time // when the last fetch began
	err       error     // result of the last fetch
}

func newIssuer(url string, now clock.Now) *issuer {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:errcheck // net/http's own
	return &issuer{url: url, now: now, timeout: fetchTimeout, client: &http.Client{
		Transport: guardedTransport{next: transport, secure: strings.HasPrefix(url, "https://")}}}
}

// guardedTransport limits the size of an issuer's answers. For an https issuer it refuses
// plain http, both for redirects and for the keys.
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
		}{io.LimitReader(res.Body, maxDocumentBytes), res.Body}
	}
	return res, err
}

// signature checks one token's signature. It keeps the error, which the library does not
// pass on.
type signature struct {
	issuer      *issuer
	valid       bool
	unavailable error // why the check was impossible
}

// VerifySignature implements oidc.KeySet.
func (s *signature) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(token, joseAlgorithms())
	if err != nil {
		return nil, fmt.Errorf("read the token: %w", err)
	}
	keyID := signed.Signatures[0].Header.KeyID
	named := func(k jose.JSONWebKey) bool { return keyID != "" && k.KeyID == keyID }
	keys, err := s.issuer.keysOf(ctx, keysFreshFor)
	payload, valid := verifyWithAny(signed, keys)
	if !valid && len(keys) > 0 && !slices.ContainsFunc(keys, named) {
		// The issuer may have just started to use a new key.
		keys, err = s.issuer.keysOf(ctx, minRefetch)
		payload, valid = verifyWithAny(signed, keys)
	}
	switch {
	case valid:
		s.valid = true
		return payload, nil
	case err != nil && (len(keys) == 0 || keyID == ""): // an unknown key id is invalid; a token without one may be valid
		s.unavailable = err
		return nil, err
	}
	return nil, errors.New("the signature matches none of the issuer's keys")
}

// verifyWithAny returns the signed payload if one of the keys made the signature.
func verifyWithAny(signed *jose.JSONWebSignature, keys []jose.JSONWebKey) (payload []byte, valid bool) {
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

// keysOf returns the keys, at most age old. If they cannot be fetched, it returns an error
// and the keys that are at most keysUsableFor old. Only callers that need other keys than
// the cached ones wait for the issuer.
func (i *issuer) keysOf(ctx context.Context, age time.Duration) ([]jose.JSONWebKey, error) {
	if keys, final, err := i.cached(age); final {
		return keys, err
	}
	read := i.flight.DoChan("", func() (any, error) {
		if _, final, _ := i.cached(age); !final { // a flight that just ended may have done it
			i.refresh(ctx)
		}
		return nil, nil //nolint:nilnil // the result is in i
	})
	select {
	case <-read:
		keys, _, err := i.cached(age)
		return keys, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// cached returns what keysOf can answer without a fetch. If final is false, a fetch is
// needed first.
func (i *issuer) cached(age time.Duration) (keys []jose.JSONWebKey, final bool, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	if i.keys != nil && now.Sub(i.fetchedAt) < age {
		return i.keys, true, nil
	}
	if i.err != nil && now.Sub(i.fetchedAt) >= keysUsableFor {
		i.keys = nil
	}
	return i.keys, now.Sub(i.triedAt) < minRefetch, i.err
}

// refresh fetches the keys and stores the result.
func (i *issuer) refresh(ctx context.Context) {
	asked := i.now()
	keys, login, err := i.fetch(ctx)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.triedAt, i.err = asked, err
	if err == nil {
		i.keys, i.login, i.fetchedAt = keys, login, asked
	}
}

// fetch discovers the addresses of the issuer's keys and of its login, then fetches the keys.
func (i *issuer) fetch(ctx context.Context) (_ []jose.JSONWebKey, login loginEndpoints, err error) {
	defer func() {
		if v := recover(); v != nil { // singleflight would crash the process
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), i.timeout)
	defer cancel()
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, i.client), i.url)
	if err != nil {
		return nil, login, truncated("discover the issuer", err)
	}
	var found struct {
		Keys      string   `json:"jwks_uri"`
		TokenAuth []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := provider.Claims(&found); err != nil {
		return nil, login, truncated("discover the issuer", err)
	}
	login = loginEndpoints{authorize: provider.Endpoint().AuthURL, token: provider.Endpoint().TokenURL, methods: found.TokenAuth}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, found.Keys, http.NoBody)
	if err != nil {
		return nil, login, truncated("fetch the issuer's keys", err)
	}
	res, err := i.client.Do(req)
	if err != nil {
		return nil, login, truncated("fetch the issuer's keys", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, login, fmt.Errorf("fetch the issuer's keys: status %d", res.StatusCode)
	}
	keys, err := readKeys(res.Body)
	return keys, login, err
}

// readKeys reads a JSON Web Key Set. It skips keys that are not public signature keys and
// keys of unknown kinds (RFC 7517, section 5).
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
		return nil, errors.New("the issuer publishes no usable key")
	}
	return keys, nil
}

// truncated wraps an error without the whole of a long answer, such as an HTML page.
func truncated(doing string, err error) error {
	text := err.Error()
	return fmt.Errorf("%s: %s", doing, text[:min(len(text), maxErrorBytes)])
}
