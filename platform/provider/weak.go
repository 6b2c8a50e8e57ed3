package provider

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"integration-gateway/platform/secret"
)

// The least size of keys written in hex or base64: in general, and for Standard Webhooks,
// whose senders use 24 bytes and more.
const (
	minKeyBytes      = 8
	minStandardBytes = 16
)

// MinSecret is how many bytes a secret must have, unless it is a token whose provider makes shorter
// ones; these have minToken at least. Fewer could be guessed within minutes.
const (
	MinSecret = minKeyBytes
	minToken  = 4
)

// shortTokens checks how short tokens may be.
func (d Definition) shortTokens(r *reading, s *Spec) {
	switch n := d.MinSecretBytes; {
	case n == 0:
	case n < minToken || n > MinSecret:
		r.wrong("minSecretBytes", "It must be from %d to %d: a shorter token could be guessed, and every secret may be longer.", minToken, MinSecret)
	case !s.Uses(Token):
		r.wrong("minSecretBytes", "It is for tokens and passwords, which are sent verbatim; the key of a signature has %d bytes at least.", MinSecret)
	default:
		s.MinSecretBytes = n
	}
}

// MinBytes returns how many bytes a secret of a purpose must have.
func (s Spec) MinBytes(purpose Purpose) int {
	if purpose == Token && s.MinSecretBytes > 0 {
		return s.MinSecretBytes
	}
	return MinSecret
}

// ShortToken warns of a token that others than this provider may not have; "" for any other.
func ShortToken(v secret.Value) string {
	n := len(v.Reveal())
	if n == 0 || n >= MinSecret {
		return ""
	}
	return fmt.Sprintf("It has %s, as the provider's tokens may, and can be guessed: keep the limit of refused requests low, and prefer a longer one if the provider takes it.", Bytes(n))
}

// Bytes formats a number of bytes.
func Bytes(n int) string {
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}

// weakKey returns an error if a key is easy to guess.
func weakKey(key []byte, fewest int) error {
	if len(key) < fewest {
		return fmt.Errorf("the decoded key has %s and must have at least %d, or it could be guessed", Bytes(len(key)), fewest)
	}
	if strings.Trim(string(key), string(key[:1])) == "" {
		return errors.New("the key repeats a single byte and could be guessed")
	}
	return nil
}

// weakText rejects a secret that repeats a single character. It does not check the length.
func weakText(v secret.Value) error {
	if text := v.Reveal(); len(text) >= minToken && strings.Trim(text, text[:1]) == "" {
		return errors.New("it repeats a single character and could be guessed")
	}
	return nil
}

// smallOrder holds the Ed25519 public keys of small order, without their sign bit. Anybody
// can forge signatures for them. The last two are other encodings of the first ones.
var smallOrder = map[string]bool{
	"0000000000000000000000000000000000000000000000000000000000000000": true,
	"0100000000000000000000000000000000000000000000000000000000000000": true,
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05": true,
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a": true,
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f": true,
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f": true,
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f": true,
}

// weakEd25519 rejects a public key for which anybody can sign.
func weakEd25519(key []byte) error {
	if len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("a public key has %d bytes", ed25519.PublicKeySize)
	}
	unsigned := append([]byte{}, key...)
	unsigned[len(unsigned)-1] &= 0x7f
	if smallOrder[hex.EncodeToString(unsigned)] {
		return errors.New("it is a public key of small order, for which anybody can sign")
	}
	return nil
}
