// Package keyring encrypts secrets for the database under one of several keys. The key's id
// in a sealed text, digest or signature says which key made it. It stores no records.
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

// sealed is the prefix of every sealed text, with the version of the format. The key's id,
// a colon, and the nonce and ciphertext in base64 follow.
const sealed = "sealed:v1:"

// Damaged is the key id of a sealed text that names no key.
const Damaged = "damaged"

// ErrDamaged is returned for a sealed text that was not sealed for its place.
var ErrDamaged = errors.New("a sealed secret in the database is damaged, or was moved there from another row or column")

// ErrPlain is returned for an unencrypted text if there is a key: anyone with write access
// to the database could have stored it.
var ErrPlain = errors.New("a secret in the database is stored without encryption, and SECRETS_KEY is set; " +
	"if it was stored before there was a key, run `gateway secrets rotate-key` with SECRETS_READ_PLAIN=true")

// MissingKey is returned for a text sealed under a key that the ring does not have.
type MissingKey struct{ ID string }

func (e MissingKey) Error() string {
	return "a secret in the database is encrypted under the key " + e.ID + ", which this process does not have"
}

// key is derived (RFC 5869) from one SECRETS_KEY.
type key struct {
	id      string
	aead    cipher.AEAD // nil if it cannot decrypt: without a key, and for a retired key
	digests []byte
	audit   []byte
}

// Ring encrypts under its current key with AES-256-GCM, and decrypts what any of its keys
// encrypted, only in its original place. Without a current key it stores plain texts; with
// one it reads plain texts only if Config allows it. It is safe for concurrent use after
// New and Adopt.
type Ring struct {
	keys  []key // the current one first, if any; the empty key last
	plain bool  // plain texts can be read
	needs bool  // refuses to store plain texts
}

// Config holds the keys of a ring.
type Config struct {
	Current secret.Value   // may be empty
	Others  []secret.Value // only decrypt
	// Plain allows reading plain texts despite a current key, until they have been
	// encrypted.
	Plain bool
	// NeedsKey refuses to store plain texts if there is no current key.
	NeedsKey bool
}

// errNoKey is returned instead of storing a plain text.
var errNoKey = fault.Conflict.New("no_key", "In production secrets are only stored encrypted: set SECRETS_KEY to the same value as in the other processes.")

// New makes a ring.
func New(cfg Config) (*Ring, error) {
	r := &Ring{plain: cfg.Plain || cfg.Current.Empty(), needs: cfg.NeedsKey}
	for _, text := range append([]secret.Value{cfg.Current}, cfg.Others...) {
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
	if cfg.Current.Empty() && len(r.keys) > 0 {
		return nil, errors.New("there are keys to decrypt secrets, but none to encrypt them")
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

// Current returns the id of the encrypting key; "" without one.
func (r *Ring) Current() string { return r.keys[0].id }

// Opens returns the ids of the keys that can decrypt, the current one first.
func (r *Ring) Opens() []string {
	var ids []string
	for _, k := range r.keys {
		if k.aead != nil {
			ids = append(ids, k.id)
		}
	}
	return ids
}

// KeyOf returns the id of the key that a stored text needs: "" if it is not sealed, Damaged
// if it names none.
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

// ReadsPlain reports whether plain texts can be read.
func (r *Ring) ReadsPlain() bool { return r.plain }

// Seal encrypts value under the current key, bound to its place.
func (r *Ring) Seal(at secret.Place, value secret.Value) (string, error) {
	k := r.keys[0]
	if k.aead == nil {
		if r.needs {
			return "", errNoKey
		}
		if strings.HasPrefix(value.Reveal(), sealed) {
			return "", fault.Invalid.New("bad_secret", "A secret cannot start with %q.", sealed)
		}
		return value.Reveal(), nil
	}
	box := k.aead.Seal(nil, nil, []byte(value.Reveal()), []byte(at.String())) //nolint:gosec // it generates its own nonce
	return sealed + k.id + ":" + base64.RawStdEncoding.EncodeToString(box), nil
}

// Open decrypts a text that Seal returned for the same place. Its error is a MissingKey,
// ErrDamaged or ErrPlain.
func (r *Ring) Open(at secret.Place, stored string) (secret.Value, error) {
	id := KeyOf(stored)
	switch id {
	case "":
		if !r.plain {
			return secret.Value{}, ErrPlain
		}
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
	plain, err := k.aead.Open(nil, nil, raw, []byte(at.String()))
	if err != nil {
		return secret.Value{}, ErrDamaged
	}
	return secret.New(string(plain)), nil
}

// Reseal returns a stored text under the current key, unchanged if it is already. Errors
// are those of Open.
func (r *Ring) Reseal(at secret.Place, stored string) (string, error) {
	if KeyOf(stored) == r.Current() {
		return stored, nil
	}
	value, err := r.Open(at, stored)
	if err != nil {
		return "", err
	}
	return r.Seal(at, value)
}

// Digest returns a keyed hash under the current key, prefixed with the key's id. With the
// database but without the key, texts cannot be tested against it.
func (r *Ring) Digest(text string) string { return r.keys[0].digest(text) }

// Matches reports whether digest was made of text, under any key that the ring knows.
func (r *Ring) Matches(text, digest string) bool {
	k := r.find(DigestKey(digest))
	return k != nil && subtle.ConstantTimeCompare([]byte(k.digest(text)), []byte(digest)) == 1
}

// DigestKey returns the id of the key that a digest was made with; "" for no key.
func DigestKey(digest string) string {
	id, _, _ := strings.Cut(digest, ":")
	return id
}

func (k key) digest(text string) string {
	mac := hmac.New(sha256.New, k.digests)
	_, _ = mac.Write([]byte(text))
	return k.id + ":" + hex.EncodeToString(mac.Sum(nil))
}

// NewKey generates the text of a key.
func NewKey() string { return rand.Text() + rand.Text() }
