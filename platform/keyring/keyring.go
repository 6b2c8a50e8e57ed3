// Package keyring seals secrets for the database under one of several keys, and knows by
// a key's id what was sealed, digested or signed with which. It keeps no records.
package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// sealed starts every text that a ring encrypted, with the version of how. The key's id
// follows, a colon, and the nonce and ciphertext in base64.
const sealed = "sealed:v1:"

// Damaged stands for the id of a key where a sealed text names none.
const Damaged = "damaged"

// ErrDamaged answers a sealed text that is not what was sealed.
var ErrDamaged = errors.New("a sealed secret in the database is damaged")

// MissingKey answers a text that was sealed under a key which the ring does not have.
type MissingKey struct{ ID string }

func (e MissingKey) Error() string {
	return "a secret in the database is encrypted under the key " + e.ID + ", which this process does not have"
}

// key is what is derived (RFC 5869) of one SECRETS_KEY.
type key struct {
	id      string
	aead    cipher.AEAD // nil where nothing can be opened: of no key, and of a retired one
	digests []byte
	audit   []byte
}

// Ring seals under its current key, with AES-256-GCM, and opens what any of its keys
// sealed. Without a current key it stores texts as they are; such texts can be read under
// any key. It is safe for concurrent use once it is made, and Adopt was called.
type Ring struct {
	keys []key // the current one first, where there is one; at the end that of no key
}

// New makes a ring of the current key, which may be empty, and others that only open.
func New(current secret.Value, others []secret.Value) (*Ring, error) {
	r := &Ring{}
	for _, text := range append([]secret.Value{current}, others...) {
		if text.Empty() {
			continue
		}
		k, err := derive(text)
		if err != nil {
			return nil, fmt.Errorf("derive the keys for secrets: %w", err)
		}
		if r.find(k.id) == nil {
			r.keys = append(r.keys, k)
		}
	}
	if current.Empty() && len(r.keys) > 0 {
		return nil, errors.New("there are keys that open secrets, and none that seals them")
	}
	none, err := derive(secret.Value{})
	if err != nil {
		return nil, fmt.Errorf("derive the keys for secrets: %w", err)
	}
	r.keys = append(r.keys, key{digests: none.digests})
	return r, nil
}

func derive(text secret.Value) (k key, err error) {
	part := func(purpose string, size int) []byte {
		derived, failed := hkdf.Key(sha256.New, []byte(text.Reveal()), nil, "integration-gateway "+purpose+" v1", size)
		err = errors.Join(err, failed)
		return derived
	}
	k = key{id: hex.EncodeToString(part("key id", 4)), digests: part("digests", 32), audit: part("audit", 32)}
	secrets := part("secrets", 32)
	if err != nil {
		return key{}, err
	}
	block, err := aes.NewCipher(secrets)
	if err != nil {
		return key{}, err
	}
	k.aead, err = cipher.NewGCMWithRandomNonce(block)
	return k, err
}

func (r *Ring) find(id string) *key {
	for i := range r.keys {
		if r.keys[i].id == id {
			return &r.keys[i]
		}
	}
	return nil
}

// Current is the id of the key that seals; "" without one.
func (r *Ring) Current() string { return r.keys[0].id }

// Opens gives the ids of the keys that can open, the current one first.
func (r *Ring) Opens() []string {
	var ids []string
	for _, k := range r.keys {
		if k.aead != nil {
			ids = append(ids, k.id)
		}
	}
	return ids
}

// KeyOf gives the id of the key that a stored text needs: "" for one that is not sealed,
// Damaged for one that names none.
func KeyOf(stored string) string {
	text, is := strings.CutPrefix(stored, sealed)
	if !is {
		return ""
	}
	id, _, found := strings.Cut(text, ":")
	if raw, err := hex.DecodeString(id); !found || err != nil || len(raw) != 4 {
		return Damaged
	}
	return id
}

// Seal encrypts value under the current key.
func (r *Ring) Seal(value secret.Value) (string, error) {
	k := r.keys[0]
	if k.aead == nil {
		if strings.HasPrefix(value.Reveal(), sealed) {
			return "", fault.Invalid.New("bad_secret", "A secret cannot start with %q.", sealed)
		}
		return value.Reveal(), nil
	}
	box := k.aead.Seal(nil, nil, []byte(value.Reveal()), nil) //nolint:gosec // it makes a nonce of its own
	return sealed + k.id + ":" + base64.RawStdEncoding.EncodeToString(box), nil
}

// Open decrypts what Seal gave. Its error is a MissingKey or ErrDamaged.
func (r *Ring) Open(stored string) (secret.Value, error) {
	id := KeyOf(stored)
	switch id {
	case "":
		return secret.New(stored), nil
	case Damaged:
		return secret.Value{}, ErrDamaged
	}
	k := r.find(id)
	if k == nil || k.aead == nil {
		return secret.Value{}, MissingKey{id}
	}
	raw, err := base64.RawStdEncoding.DecodeString(stored[len(sealed)+len(id)+1:])
	if err != nil {
		return secret.Value{}, ErrDamaged
	}
	plain, err := k.aead.Open(nil, nil, raw, nil)
	if err != nil {
		return secret.Value{}, ErrDamaged
	}
	return secret.New(string(plain)), nil
}

// Reseal gives a stored text as it is under the current key; the same text where it is
// already. Errors are Open's.
func (r *Ring) Reseal(stored string) (string, error) {
	if KeyOf(stored) == r.Current() {
		return stored, nil
	}
	value, err := r.Open(stored)
	if err != nil {
		return "", err
	}
	return r.Seal(value)
}

// Digest is a keyed hash under the current key, with the key's id before it: whoever has
// the database and not the key cannot try texts against it.
func (r *Ring) Digest(text string) string { return r.keys[0].digest(text) }

// Matches reports whether digest was made of text, under any key that the ring knows.
func (r *Ring) Matches(text, digest string) bool {
	k := r.find(DigestKey(digest))
	return k != nil && subtle.ConstantTimeCompare([]byte(k.digest(text)), []byte(digest)) == 1
}

// DigestKey gives the id of the key that a digest was made under; "" for no key.
func DigestKey(digest string) string {
	id, _, _ := strings.Cut(digest, ":")
	return id
}

func (k key) digest(text string) string {
	mac := hmac.New(sha256.New, k.digests)
	_, _ = mac.Write([]byte(text))
	return k.id + ":" + hex.EncodeToString(mac.Sum(nil))
}

// NewKey makes the text of a key.
func NewKey() string { return rand.Text() + rand.Text() }
