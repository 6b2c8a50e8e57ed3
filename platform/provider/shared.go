package provider

import (
	"crypto/hmac"
	"hash"
	"strings"

	"integration-gateway/platform/secret"
)

// HMAC verifies signatures with a shared secret (RFC 2104).
type HMAC struct {
	Signed
	Hash func() hash.Hash
	// Key decodes the secret's text into the key; nil uses its bytes.
	Key func(secret.Value) ([]byte, error)
}

// Verify checks every signature in the header with every secret.
func (h HMAC) Verify(req Request, secrets []Secret) (Match, error) {
	e, err := h.open(req, h.Hash().Size())
	if err != nil {
		return Match{}, err
	}
	message := h.message(req, e)
	found, err := matchAny(secrets, func(key secret.Value) bool {
		sum, matched := h.sum(key, message), false
		for _, s := range e.signatures {
			if hmac.Equal(sum, s) {
				matched = true
			}
		}
		return matched && sum != nil
	})
	if err != nil {
		return Match{}, err
	}
	found.Message = message
	return h.match(req, e, found)
}

// Sign returns the header's value for a scheme that signs only the body.
func (h HMAC) Sign(key secret.Value, body []byte) string { return h.written(h.sum(key, body)) }

// SignRequest signs the request at its time of receipt.
func (h HMAC) SignRequest(req *Request, key secret.Value) error {
	if h.Key != nil {
		if _, err := h.Key(key); err != nil {
			return err
		}
	}
	h.seal(req, func(message []byte) []byte { return h.sum(key, message) })
	return nil
}

// sum returns nil if the secret is not a valid key.
func (h HMAC) sum(key secret.Value, message []byte) []byte {
	bytes := []byte(key.Reveal())
	if h.Key != nil {
		var err error
		if bytes, err = h.Key(key); err != nil {
			return nil
		}
	}
	mac := hmac.New(h.Hash, bytes)
	mac.Write(message)
	return mac.Sum(nil)
}

// SharedToken verifies a secret that the provider sends verbatim. It authenticates the sender
// and not the body.
type SharedToken struct {
	Header string
	Prefix string // before the token, such as "Bearer "
	At     []spot // in place of Header; the token of one must match
}

// Verify compares the token of each place with every secret.
func (t SharedToken) Verify(req Request, secrets []Secret) (Match, error) {
	tokens, err := t.values(req)
	if err != nil {
		return Match{}, err
	}
	return matchAny(secrets, func(s secret.Value) bool {
		matched := false
		for _, one := range tokens {
			matched = s.Equal(one) || matched
		}
		return matched
	})
}

// SignRequest sets the token.
func (t SharedToken) SignRequest(req *Request, key secret.Value) error {
	if t.At != nil {
		t.At[0].write(req, t.Prefix+key.Reveal())
		return nil
	}
	req.Header.Set(t.Header, t.Prefix+key.Reveal())
	return nil
}

// values returns the tokens that are there, without their prefix.
func (t SharedToken) values(req Request) ([]string, error) {
	place := t.Header
	var values []string
	if t.At == nil {
		value, err := credential(req.Header, t.Header)
		if err != nil {
			return nil, err
		}
		values = []string{value}
	} else {
		var err error
		if values, err = readFirst(req, t.At); err != nil {
			return nil, err
		}
		place = t.At[0].String()
	}
	var tokens []string
	for _, value := range values {
		if token, ok := strings.CutPrefix(value, t.Prefix); ok {
			tokens = append(tokens, token)
		}
	}
	if tokens == nil {
		return nil, refuse(MalformedSignature, "%s does not start with %q", place, t.Prefix)
	}
	return tokens, nil
}

func (t SharedToken) headers() []string {
	if t.At != nil {
		return headerSpots(t.At)
	}
	return []string{t.Header}
}

// places returns where the token may be.
func (t SharedToken) places() []spot {
	if t.At == nil {
		return []spot{{kind: inHeader, name: t.Header}}
	}
	return t.At
}
