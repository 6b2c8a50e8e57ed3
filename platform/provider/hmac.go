package provider

import (
	"crypto/hmac"
	"hash"

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
