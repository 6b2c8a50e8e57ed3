package provider

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"integration-gateway/platform/secret"
)

// PublicKey verifies signatures with the provider's public key, which is the integration's
// secret.
type PublicKey struct {
	Signed
	Scheme Scheme
}

// Scheme is a public-key signature scheme.
type Scheme interface {
	// size is a signature's length in bytes; 0 if it varies.
	size() int
	// key parses a public key in the provider's format.
	key(text string) (crypto.PublicKey, error)
	// matches verifies a signature with a key that key returned.
	matches(key crypto.PublicKey, message, signature []byte) bool
	// pair derives a key pair from any text, for tests and samples. The public key is in the
	// provider's format.
	pair(seed string) (public string, sign func(message []byte) ([]byte, error), err error)
}

// Verify checks every signature in the header with every public key.
func (p PublicKey) Verify(req Request, secrets []Secret) (Match, error) {
	e, err := p.open(req, p.Scheme.size())
	if err != nil {
		return Match{}, err
	}
	message := p.message(req, e)
	found, err := matchAny(secrets, func(text secret.Value) bool {
		key, err := p.Scheme.key(text.Reveal())
		if err != nil {
			return false
		}
		matched := false
		for _, s := range e.signatures {
			if p.Scheme.matches(key, message, s) {
				matched = true
			}
		}
		return matched
	})
	if err != nil {
		return Match{}, err
	}
	found.Message = message
	return p.match(req, e, found)
}

// SignRequest signs the request with the private key that is derived from key.
func (p PublicKey) SignRequest(req *Request, key secret.Value) error {
	_, sign, err := p.Scheme.pair(key.Reveal())
	if err != nil {
		return err
	}
	var failure error
	p.seal(req, func(message []byte) []byte {
		var signature []byte
		signature, failure = sign(message)
		return signature
	})
	return failure
}

// SecretFor returns the public key of the key that SignRequest uses.
func (p PublicKey) SecretFor(key secret.Value) (secret.Value, error) {
	public, _, err := p.Scheme.pair(key.Reveal())
	return secret.New(public), err
}

// CheckSecret accepts public keys.
func (p PublicKey) CheckSecret(v secret.Value) error {
	_, err := p.Scheme.key(v.Reveal())
	return err
}

// Ed25519 is the scheme of RFC 8032, with public keys in hex.
type Ed25519 struct{}

func (Ed25519) size() int { return ed25519.SignatureSize }

func (Ed25519) key(text string) (crypto.PublicKey, error) {
	bytes, err := hex.DecodeString(text)
	if err != nil || len(bytes) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("it must be a public key of %d hex digits", 2*ed25519.PublicKeySize)
	}
	if err := weakEd25519(bytes); err != nil {
		return nil, err
	}
	return ed25519.PublicKey(bytes), nil
}

func (Ed25519) matches(key crypto.PublicKey, message, signature []byte) bool {
	return ed25519.Verify(key.(ed25519.PublicKey), message, signature)
}

func (Ed25519) pair(seed string) (string, func([]byte) ([]byte, error), error) {
	sum := sha256.Sum256([]byte(seed))
	private := ed25519.NewKeyFromSeed(sum[:])
	public, _ := private.Public().(ed25519.PublicKey)
	return hex.EncodeToString(public), func(message []byte) ([]byte, error) { return ed25519.Sign(private, message), nil }, nil
}

// ECDSA is ECDSA on P-256 with SHA-256, with public keys in base64 of their DER form.
type ECDSA struct{}

func (ECDSA) size() int { return 0 }

var errNoECDSA = errors.New("it must be the base64 of a public key on P-256, as the provider shows it")

func (ECDSA) key(text string) (crypto.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errNoECDSA
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errNoECDSA
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errNoECDSA
	}
	return key, nil
}

func (ECDSA) matches(key crypto.PublicKey, message, signature []byte) bool {
	sum := sha256.Sum256(message)
	return ecdsa.VerifyASN1(key.(*ecdsa.PublicKey), sum[:], signature)
}

func (ECDSA) pair(seed string) (string, func([]byte) ([]byte, error), error) {
	scalar := sha256.Sum256([]byte(seed)) // below the curve's order except for one text in 2^32
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar[:])
	if err != nil {
		return "", nil, fmt.Errorf("no key can be derived from this text: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return "", nil, fmt.Errorf("write the public key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(der), func(message []byte) ([]byte, error) {
		sum := sha256.Sum256(message)
		return private.Sign(nil, sum[:], crypto.SHA256) // RFC 6979: the same each time
	}, nil
}

// RSA is RSA with PKCS #1 v1.5 and SHA-256, with public keys in PEM or in base64 of their DER
// form. A request is signed with a private key in PEM.
type RSA struct{}

func (RSA) size() int { return 0 }

var errNoRSA = errors.New("it must be an RSA public key of at least 2048 bits, in PEM or base64, as the provider shows it")

func (RSA) key(text string) (crypto.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(text)
	if block, _ := pem.Decode([]byte(text)); block != nil {
		der, err = block.Bytes, nil
	}
	if err != nil {
		return nil, errNoRSA
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	key, ok := parsed.(*rsa.PublicKey)
	if err != nil || !ok || key.N.BitLen() < 2048 || key.N.BitLen() > 8192 {
		return nil, errNoRSA
	}
	return key, nil
}

func (RSA) matches(key crypto.PublicKey, message, signature []byte) bool {
	sum := sha256.Sum256(message)
	return rsa.VerifyPKCS1v15(key.(*rsa.PublicKey), crypto.SHA256, sum[:], signature) == nil
}

func (RSA) pair(seed string) (string, func([]byte) ([]byte, error), error) {
	block, _ := pem.Decode([]byte(seed))
	if block == nil {
		return "", nil, errors.New("a private key in PEM signs for this provider")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	private, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return "", nil, errors.New("the private key must be RSA, in PEM of PKCS #8")
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		return "", nil, fmt.Errorf("write the public key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(der), func(message []byte) ([]byte, error) {
		sum := sha256.Sum256(message)
		return rsa.SignPKCS1v15(nil, private, crypto.SHA256, sum[:])
	}, nil
}
