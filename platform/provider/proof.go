package provider

import (
	"crypto/sha1" //nolint:gosec // some providers sign with HMAC-SHA1, which is not broken
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"reflect"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/secret"
)

// proofPrefix is what the fields of a proof begin with.
func proofPrefix(way string, i int) string {
	if way == "" {
		return ""
	}
	return fmt.Sprintf("%s[%d].", way, i)
}

// compile returns the proof's verifier, and tells s what follows from it.
func (p Proof) compile(r *reading, prefix string, partly bool, s *Spec) Verifier {
	c := compiling{r, prefix}
	var v Verifier
	switch p.Scheme {
	case "hmac":
		h := p.hmac(c, partly)
		s.SignsURL = s.SignsURL || h.Over.names(partURL)
		v, s.CheckSecret = h, h.checkSecret(p.Signature.Key)
	case "token":
		t := SharedToken{Prefix: p.Signature.Prefix, At: c.spots("signature.at", p.Signature.At)}
		if t.At == nil {
			t.Header = c.header("signature.header", p.Signature.Header, true)
			s.Sensitive = append(s.Sensitive, t.Header)
		}
		s.Sensitive = append(s.Sensitive, headerSpots(t.At)...)
		s.QueryTokens = append(s.QueryTokens, queriesOf(t.At)...)
		s.Segments.Tokens = append(s.Segments.Tokens, segmentsOf(t.At)...)
		v = t
	case "basic":
		v, s.CheckSecret = BasicAuth{}, checkBasic
		s.Sensitive = append(s.Sensitive, "Authorization")
	case "standard-webhooks":
		scheme := Standard{Prefixes: []string{"webhook-", "svix-"}}
		v, s.CheckSecret = scheme, scheme.CheckSecret
	case "ed25519", "ecdsa", "rsa":
		key := p.publicKey(c, partly)
		s.SignsURL = s.SignsURL || key.Over.names(partURL)
		v, s.CheckSecret, s.Public = key, key.CheckSecret, true
	case "jwt":
		v = p.jwt(c, s)
	case "addresses":
		v = p.addresses(c)
	case "certificate":
		v = p.certificate(c, s)
	default:
		c.wrong("scheme", "%q is unknown; write one of %s.", p.Scheme, strings.Join(Schemes, ", "))
		return undefined{}
	}
	if p.Scheme != "jwt" && !reflect.ValueOf(p.Token).IsZero() {
		c.wrong("jwt", "Only the scheme jwt takes it.")
	}
	if p.Scheme != "addresses" && p.Addresses != nil {
		c.wrong("addresses", "Only the scheme addresses takes it.")
	}
	if p.Scheme != "certificate" && p.Certificates != nil {
		c.wrong("certificates", "Only the scheme certificate takes it.")
	}
	p.once(c, s)
	if (p.Scheme == "token" || p.Scheme == "basic" || p.Scheme == "jwt" && p.Token.BodyHash == "") && s.Unsigned == "" {
		s.Unsigned = "The token authenticates the sender and not the body."
	}
	if tolerance := p.tolerance(c, v); tolerance > 0 {
		s.Tolerance = tolerance
	}
	return v
}

// Schemes are the ways to prove a request.
var Schemes = []string{"hmac", "token", "basic", "standard-webhooks", "ed25519", "ecdsa", "rsa", "jwt", "addresses", "certificate"}

// once notes that the proof has a nonce.
func (p Proof) once(c compiling, s *Spec) {
	switch {
	case p.Nonce == "":
		return
	case !slices.Contains([]string{"hmac", "ed25519", "ecdsa", "rsa", "jwt"}, p.Scheme):
		c.wrong("nonce", "The scheme %s signs nothing.", p.Scheme)
	case s.nonce:
		c.wrong("nonce", "One proof may have a nonce.")
	}
	if t := p.Timestamp.Tolerance; t != nil && *t == 0 {
		c.wrong("timestamp.toleranceSeconds", "A nonce is remembered for as long as a request is accepted: set how long.")
	}
	s.nonce = true
}

// jwt compiles the scheme jwt, and tells s what follows from it.
func (p Proof) jwt(c compiling, s *Spec) Verifier {
	j := p.token(c)
	s.CheckSecret = j.checkSecret()
	s.FetchesKeys = s.FetchesKeys || j.KeysFrom != ""
	s.Public = s.Public || !shared(j.Algorithms)
	s.SignsURL = s.SignsURL || slices.Contains(j.Rules.Audiences, audienceURL)
	s.QueryTokens = append(s.QueryTokens, queriesOf(j.Place.At)...)
	s.Segments.Tokens = append(s.Segments.Tokens, segmentsOf(j.Place.At)...)
	if j.Rules.BodyHash == "" { // whoever has the token can send another body with it
		s.Sensitive = append(s.Sensitive, j.headers()...)
	}
	if j.KeysFrom == "" && shared(j.Algorithms) {
		return sharedJWT{j}
	}
	return j
}

// compiling names the fields of one of several proofs.
type compiling struct {
	*reading
	prefix string
}

func (c compiling) wrong(field, format string, args ...any) {
	c.reading.wrong(c.prefix+field, format, args...)
}

func (c compiling) header(field, name string, needed bool) string {
	return c.reading.header(c.prefix+field, name, needed)
}

// spots reads places that verification may read; nil if none is given.
func (c compiling) spots(field string, places []string) []spot {
	if len(places) > maxSignatures {
		c.wrong(field, "It may list at most %d places.", maxSignatures)
		return nil
	}
	var all []spot
	for i, place := range places {
		one, err := parseSpot(place)
		if err != nil {
			c.wrong(fmt.Sprintf("%s[%d]", field, i), "%s.", err)
		}
		all = append(all, one)
	}
	c.queries, c.segments = append(c.queries, queriesOf(all)...), append(c.segments, segmentsOf(all)...)
	return all
}

// publicKey compiles a signature with a private key; the secret is the public key.
func (p Proof) publicKey(c compiling, partly bool) PublicKey {
	scheme := choose[Scheme](c.reading, c.prefix+"scheme", p.Scheme, choice[Scheme]{"ed25519", Ed25519{}}, choice[Scheme]{"ecdsa", ECDSA{}},
		choice[Scheme]{"rsa", RSA{}})
	if p.Signature.Key != "" {
		c.wrong("signature.key", "The scheme %s has one format of keys.", p.Scheme)
	}
	if p.Signature.Hash != "" && p.Signature.Hash != "sha256" {
		c.wrong("signature.hash", "The scheme %s is with sha256.", p.Scheme)
	}
	return PublicKey{Signed: p.signed(c, partly), Scheme: scheme}
}

func (p Proof) hmac(c compiling, partly bool) HMAC {
	sig := p.Signature
	return HMAC{
		Hash: choose(c.reading, c.prefix+"signature.hash", sig.Hash, choice[func() hash.Hash]{"sha256", sha256.New}, choice[func() hash.Hash]{"sha1", sha1.New},
			choice[func() hash.Hash]{"sha384", sha512.New384}, choice[func() hash.Hash]{"sha512", sha512.New}),
		Signed: p.signed(c, partly),
		Key: choose(c.reading, c.prefix+"signature.key", sig.Key, choice[func(secret.Value) ([]byte, error)]{"text", nil},
			choice[func(secret.Value) ([]byte, error)]{"hex", hexKey}, choice[func(secret.Value) ([]byte, error)]{"base64", base64Key},
			choice[func(secret.Value) ([]byte, error)]{"sha1", sha1Key}),
	}
}

// signed compiles where the signatures are and what they cover. partly says that the
// definition tells operators which part of a body is not covered.
func (p Proof) signed(c compiling, partly bool) Signed {
	sig := p.Signature
	s := Signed{
		At: c.spots("signature.at", sig.At), Prefix: sig.Prefix, After: sig.After, Separator: sig.Separator, ID: c.header("signature.idHeader", sig.ID, false),
		Encoding: choose(c.reading, c.prefix+"signature.encoding", sig.Encoding, choice[Encoding]{"hex", Hex}, choice[Encoding]{"base64", Base64}, choice[Encoding]{"base64url", Base64URL}),
		Time: Timestamp{
			Header: c.header("timestamp.header", p.Timestamp.Header, false), Item: p.Timestamp.Item,
			Unit: choose(c.reading, c.prefix+"timestamp.unit", p.Timestamp.Unit, choice[Unit]{"seconds", Seconds}, choice[Unit]{"milliseconds", Milliseconds}, choice[Unit]{"rfc3339", RFC3339}),
		},
	}
	if s.At == nil {
		s.Header = c.header("signature.header", sig.Header, true)
	}
	if at := c.spots("timestamp.at", listed(p.Timestamp.At)); at != nil {
		s.Time.At = &at[0]
	}
	if sig.Over != "" {
		var err error
		if s.Over, err = parseTemplate(sig.Over); err != nil {
			c.wrong("signature.over", "%s.", err)
		}
		c.queries, c.segments = append(c.queries, queriesOf(s.Over.spots())...), append(c.segments, segmentsOf(s.Over.spots())...)
	}
	if !p.checkSigned(c, s, partly) {
		s.Time = Timestamp{}
	}
	s.Nonce = p.nonce(c, s)
	return s
}

func listed(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// checkSigned rejects a scheme that a forger could use; timed is false if it has no time.
func (p Proof) checkSigned(c compiling, s Signed, partly bool) (timed bool) {
	places := 0
	for _, given := range []bool{s.Time.Header != "", s.Time.Item != "", s.Time.At != nil} {
		if given {
			places++
		}
	}
	covers := s.Over == nil || s.Over.names(partBody) || s.Over.names(partForm)
	switch {
	case places > 1:
		c.wrong("timestamp.item", "The time is in one place: set one of timestamp.header, timestamp.item and timestamp.at.")
	case s.Time.Item != "" && p.Signature.Separator == "":
		c.wrong("signature.separator", "It is required, because the signature's header also holds the time.")
	case !covers && !partly:
		c.wrong("signature.over", "It must include {body}, or anybody could send another body with a captured signature. If the provider signs no more, say in unsigned what is left out.")
	case s.Over.runsTogether(s.Time.Unit):
		c.wrong("signature.over", "Put a text such as a full stop between {id}, {timestamp}, {url} and places, or part of one could be moved into the other.")
	case s.Over.names(partID) && p.Signature.ID == "":
		c.wrong("signature.idHeader", "signature.over includes {id}: name its header.")
	case s.Over.names(partTimestamp) && places == 0:
		c.wrong("timestamp.header", "signature.over includes {timestamp}: name its header.")
	case len(s.Over.spots()) > maxSignatures:
		c.wrong("signature.over", "It may name at most %d places.", maxSignatures)
	case places > 0 && !s.Over.names(partTimestamp) && (!s.late() || !covers):
		c.wrong("signature.over", "It must include {timestamp}, or the time could be changed.")
	}
	return places > 0
}

// checkSecret rejects a secret that is not a key of the definition's kind.
func (h HMAC) checkSecret(kind string) func(secret.Value) error {
	if h.Key == nil || kind == "sha1" { // which any text has
		return nil
	}
	return func(v secret.Value) error {
		key, err := h.Key(v)
		if err != nil {
			return fmt.Errorf("it must be %s", kind)
		}
		return weakKey(key, minKeyBytes)
	}
}

func checkBasic(v secret.Value) error {
	if !strings.Contains(v.Reveal(), ":") {
		return errors.New("it must be user:password")
	}
	return nil
}

func hexKey(v secret.Value) ([]byte, error)    { return hex.DecodeString(v.Reveal()) }
func base64Key(v secret.Value) ([]byte, error) { return base64.StdEncoding.DecodeString(v.Reveal()) }

// sha1Key returns the text's SHA-1, which some providers' keys are.
func sha1Key(v secret.Value) ([]byte, error) {
	sum := sha1.Sum([]byte(v.Reveal())) //nolint:gosec // the provider chose it
	return sum[:], nil
}

func (p Proof) tolerance(c compiling, v Verifier) time.Duration {
	t, timed := p.Timestamp.Tolerance, timedVerifier(v)
	switch {
	case t == nil && timed:
		return defaultTolerance
	case t == nil:
		return 0
	case !timed:
		c.wrong("timestamp.toleranceSeconds", "The requests have no signed time.")
	case *t < 0 || time.Duration(*t) > maxTolerance/time.Second:
		c.wrong("timestamp.toleranceSeconds", "It must be from 0, which is for any, to %d.", maxTolerance/time.Second)
	}
	return time.Duration(*t) * time.Second
}
