package provider

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// Standard is the scheme of standardwebhooks.com: v1 signatures with a shared secret
// (whsec_…), and v1a signatures with a private key, whose public key (whpk_…) is the secret.
// Its headers have one of several prefixes.
type Standard struct {
	Prefixes []string // of the header names; the first with a signature counts
}

const (
	sharedKey = "whsec_" // then the key in base64
	publicKey = "whpk_"
	seedKey   = "whsk_" // a private key, only for signing
)

// over describes the headers with a prefix and the signatures of a version.
func (Standard) over(prefix, version string) Signed {
	return Signed{
		Header: prefix + "signature", Prefix: version + ",", Encoding: Base64, Separator: " ",
		Over: standardMessage, ID: prefix + "id", Time: Timestamp{Header: prefix + "timestamp"},
	}
}

var standardMessage = over("{id}.{timestamp}.{body}")

// prefix returns the prefix of the request's headers.
func (s Standard) prefix(req Request) string {
	for _, p := range s.Prefixes {
		if len(req.Header.Values(p+"signature")) > 0 {
			return p
		}
	}
	return s.Prefixes[0]
}

// Verify checks the signatures of each version with the secrets of its kind.
func (s Standard) Verify(req Request, secrets []Secret) (Match, error) {
	prefix := s.prefix(req)
	shared, err := s.over(prefix, "v1").open(req, sha256.Size)
	public, publicErr := s.over(prefix, "v1a").open(req, ed25519.SignatureSize)
	if err != nil && publicErr != nil {
		if fault.As(err).Reason == string(MalformedSignature) {
			err = publicErr // there is no v1 signature: report the problem with v1a
		}
		return Match{}, err
	}
	e := shared
	if err != nil {
		e = public
	}
	message := standardMessage.fill(req, e)
	match, err := matchAny(secrets, func(v secret.Value) bool {
		kind, key, err := standardKey(v)
		matched := false
		switch {
		case err != nil:
		case kind == publicKey:
			for _, signature := range public.signatures {
				matched = ed25519.Verify(key, message, signature) || matched
			}
		default:
			sum := standardSum(key, message)
			for _, signature := range shared.signatures {
				matched = hmac.Equal(sum, signature) || matched
			}
		}
		return matched
	})
	if err != nil {
		return Match{}, err
	}
	match.SignedAt, match.SignedID, match.Message = e.at, e.id, message
	return match, nil
}

// SignRequest signs with a shared secret, or with a private key (whsk_…).
func (s Standard) SignRequest(req *Request, key secret.Value) error {
	kind, bytes, err := standardKey(key)
	switch {
	case err != nil:
		return err
	case kind == publicKey:
		return errors.New("a public key (whpk_…) verifies and does not sign")
	case kind == seedKey:
		s.over(s.Prefixes[0], "v1a").seal(req, func(message []byte) []byte {
			return ed25519.Sign(ed25519.NewKeyFromSeed(bytes[:ed25519.SeedSize]), message)
		})
	default:
		s.over(s.Prefixes[0], "v1").seal(req, func(message []byte) []byte { return standardSum(bytes, message) })
	}
	return nil
}

// SecretFor returns the public key of a private key, or the shared secret itself.
func (Standard) SecretFor(key secret.Value) (secret.Value, error) {
	kind, bytes, err := standardKey(key)
	if err != nil || kind != seedKey {
		return key, err
	}
	public, _ := ed25519.NewKeyFromSeed(bytes[:ed25519.SeedSize]).Public().(ed25519.PublicKey)
	return secret.New(publicKey + base64.StdEncoding.EncodeToString(public)), nil
}

// CheckSecret accepts shared secrets and public keys.
func (Standard) CheckSecret(v secret.Value) error {
	kind, key, err := standardKey(v)
	switch {
	case err != nil:
	case kind == sharedKey || kind == "":
		err = weakKey(key, minStandardBytes)
	case kind == seedKey:
		err = errors.New("it is a private key (whsk_…), which only the sender may have; the public key starts with whpk_")
	}
	return err
}

func standardSum(key, message []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	return mac.Sum(nil)
}

// standardKey returns the kind of a secret, "" if it has no prefix, and its bytes.
func standardKey(v secret.Value) (kind string, key []byte, err error) {
	text := v.Reveal()
	for _, prefix := range []string{sharedKey, publicKey, seedKey} {
		if strings.HasPrefix(text, prefix) {
			kind, text = prefix, text[len(prefix):]
			break
		}
	}
	key, err = base64.StdEncoding.DecodeString(text)
	switch {
	case err != nil || len(key) == 0:
		return kind, nil, errors.New("it must be base64, prefixed with whsec_ or whpk_")
	case kind == publicKey && len(key) != ed25519.PublicKeySize:
		return kind, nil, errors.New("a public key (whpk_…) has 32 bytes")
	case kind == publicKey:
		return kind, key, weakEd25519(key)
	case kind == seedKey && len(key) < ed25519.SeedSize:
		return kind, nil, errors.New("a private key (whsk_…) has 32 bytes at least")
	}
	return kind, key, nil
}

func (Standard) timed() bool { return true }

func (s Standard) headers() []string { return s.over(s.Prefixes[0], "v1").headers() }
