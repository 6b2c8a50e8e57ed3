package provider

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"

	"integration-gateway/platform/secret"
)

// Encoding is how a signature is written in its header.
type Encoding int

// The encodings of signatures. Hex is read in either case, as RFC 4648 section 8 allows.
const (
	Hex Encoding = iota
	Base64
)

func (e Encoding) decode(text string) ([]byte, error) {
	if e == Base64 {
		return base64.StdEncoding.DecodeString(text)
	}
	return hex.DecodeString(text)
}

func (e Encoding) encode(sum []byte) string {
	if e == Base64 {
		return base64.StdEncoding.EncodeToString(sum)
	}
	return hex.EncodeToString(sum)
}

// HMAC is a signature over the raw body (RFC 2104), keyed with the secret's text.
type HMAC struct {
	Hash      func() hash.Hash
	Header    string
	Prefix    string // what stands before each signature, such as "sha256="
	Bare      bool   // a signature without the prefix is read too
	Encoding  Encoding
	Separator string // between several signatures in one header; "" where there is only ever one
}

// maxSignatures bounds the work that one header can ask for.
const maxSignatures = 16

// Verify holds every signature in the header against every secret.
func (h HMAC) Verify(req Request, secrets []Secret) (Match, error) {
	value, err := credential(req.Header, h.Header)
	if err != nil {
		return Match{}, err
	}
	signatures := h.signatures(value)
	if len(signatures) == 0 {
		return Match{}, refuse(MalformedSignature)
	}
	return matchAny(secrets, func(key secret.Value) bool {
		sum, matched := h.sum(key, req.Body), false
		for _, s := range signatures {
			if hmac.Equal(sum, s) {
				matched = true
			}
		}
		return matched
	})
}

// Sign gives the header's value for body: what the provider would send.
func (h HMAC) Sign(key secret.Value, body []byte) string {
	prefix := h.Prefix
	if h.Bare {
		prefix = ""
	}
	return prefix + h.Encoding.encode(h.sum(key, body))
}

func (h HMAC) sum(key secret.Value, body []byte) []byte {
	mac := hmac.New(h.Hash, []byte(key.Reveal()))
	mac.Write(body)
	return mac.Sum(nil)
}

// signatures reads those of the header's signatures that are well-formed.
func (h HMAC) signatures(value string) [][]byte {
	parts := []string{value}
	if h.Separator != "" {
		parts = strings.SplitN(value, h.Separator, maxSignatures+1)
	}
	if len(parts) > maxSignatures {
		return nil
	}
	var found [][]byte
	for _, part := range parts {
		text, prefixed := strings.CutPrefix(strings.TrimSpace(part), h.Prefix)
		if !prefixed && !h.Bare {
			continue
		}
		if sum, err := h.Encoding.decode(text); err == nil && len(sum) == h.Hash().Size() {
			found = append(found, sum)
		}
	}
	return found
}
