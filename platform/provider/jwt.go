package provider

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider/webtoken"
	"integration-gateway/platform/secret"
)

// JWT verifies a signed token.
type JWT struct {
	Place      SharedToken // where the token is; of several places the first that has one
	Algorithms []string
	KeysFrom   string // "" if the secret is the key
	SecretIs   string
	Rules      webtoken.Rules
	Nonce      string // the claim that is good for one request; "" for none
	Timed      bool   // the claim iat must be within the tolerance
}

// audienceURL stands for the webhook's URL among audiences.
const audienceURL = "{url}"

// Verify checks the token's claims and then its signature. Keys are looked up last, and only
// for a token that is otherwise right: nobody can cause a download without knowing what a
// genuine token says.
func (j JWT) Verify(req Request, secrets []Secret) (Match, error) {
	token, signedAt, err := j.read(req)
	if err != nil {
		return Match{}, err
	}
	var found Match
	if j.KeysFrom == "" {
		found, err = matchAny(secrets, func(s secret.Value) bool { return j.signedWith(token, s) })
	} else {
		found, err = j.issued(req, token, secrets)
	}
	if err != nil {
		return Match{}, err
	}
	found.SignedAt = signedAt
	if j.Rules.BodyHash != "" {
		found.Message = req.Body
	}
	if j.Nonce != "" {
		found.Nonce = true
		if found.SingleUse, _ = token.Claim(j.Nonce); found.SingleUse == "" {
			return Match{}, refuse(MalformedSignature, "the token lacks the claim %s", j.Nonce)
		}
	}
	return found, nil
}

// read reads the token and checks its claims.
func (j JWT) read(req Request) (token webtoken.Token, signedAt time.Time, err error) {
	texts, err := j.Place.values(req)
	if err != nil {
		return token, signedAt, err
	}
	if token, err = webtoken.Read(texts[0], j.Algorithms); err != nil {
		return token, signedAt, refuse(MalformedSignature, "the token cannot be read: %s", err)
	}
	rules := j.Rules
	rules.Ends = rules.Ends || rules.BodyHash == "" && req.tolerance == 0 // else it would be good for ever
	if slices.Contains(rules.Audiences, audienceURL) {
		address, _, _ := strings.Cut(req.URL, "?")
		rules.Audiences = slices.Clone(rules.Audiences)
		rules.Audiences[slices.Index(rules.Audiences, audienceURL)] = address
	}
	if err := rules.Check(token, req.Body, req.ReceivedAt); err != nil {
		var expired webtoken.Expired
		if errors.As(err, &expired) {
			return token, signedAt, refuse(OutsideTolerance, "the token: %s", err)
		}
		return token, signedAt, refuse(NoMatch, "the token: %s", err)
	}
	if !j.Timed {
		return token, signedAt, nil
	}
	signedAt, given, err := token.Time("iat")
	if err != nil || !given {
		return token, signedAt, refuse(MalformedSignature, "the token does not say in iat when it was made")
	}
	return token, signedAt, within(req.tolerance, req.ReceivedAt, signedAt)
}

// signedWith reports whether the secret is the key of the signature.
func (j JWT) signedWith(token webtoken.Token, s secret.Value) bool {
	if shared(j.Algorithms) {
		return token.SignedWith([]byte(s.Reveal()))
	}
	keys, err := webtoken.ReadKeys(s.Reveal())
	return err == nil && token.SignedBy(keys)
}

// issued verifies a token with its issuer's keys.
func (j JWT) issued(req Request, token webtoken.Token, secrets []Secret) (Match, error) {
	found, err := matchAny(secrets, func(s secret.Value) bool {
		return slices.ContainsFunc(j.shown(token), s.Equal)
	})
	if err != nil {
		return Match{}, err
	}
	if req.KeySet == nil {
		return Match{}, fault.Unavailable.New("no_key_sets", "Issuers' keys cannot be downloaded here.")
	}
	keys, err := req.KeySet(j.KeysFrom, token.KeyID)
	if err != nil {
		return Match{}, err
	}
	if !token.SignedBy(keys) {
		return Match{}, refuse(UnknownKey, "the token's signature matches none of the %d keys of its issuer", len(keys))
	}
	return found, nil
}

// shown returns the claim that must be the secret.
func (j JWT) shown(token webtoken.Token) []string {
	if j.SecretIs == "aud" {
		return token.Audiences()
	}
	if claim, ok := token.Claim(j.SecretIs); ok {
		return []string{claim}
	}
	return nil
}

func (j JWT) headers() []string {
	names := j.Place.headers()
	for i, name := range names {
		names[i] = http.CanonicalHeaderKey(name)
	}
	return names
}

func (j JWT) timed() bool { return j.Timed }

// checkSecret rejects a secret that cannot be the key.
func (j JWT) checkSecret() func(secret.Value) error {
	if j.KeysFrom != "" || shared(j.Algorithms) {
		return nil
	}
	return func(v secret.Value) error {
		_, err := webtoken.ReadKeys(v.Reveal())
		return err
	}
}

func shared(algorithms []string) bool { return slices.Contains(webtoken.Shared, algorithms[0]) }

// sharedJWT is a JWT whose secret is the key, so that the gateway can sign as well.
type sharedJWT struct{ JWT }

// SignRequest makes a token as the provider does.
func (j sharedJWT) SignRequest(req *Request, key secret.Value) error {
	claims := map[string]any{"iat": req.ReceivedAt.Unix(), "exp": req.ReceivedAt.Add(defaultTolerance).Unix()}
	if len(j.Rules.Issuers) > 0 {
		claims["iss"] = j.Rules.Issuers[0]
	}
	if len(j.Rules.Audiences) > 0 {
		address, _, _ := strings.Cut(req.URL, "?")
		claims["aud"] = strings.Replace(j.Rules.Audiences[0], audienceURL, address, 1)
	}
	for _, c := range j.Rules.Claims {
		claims[c.Name] = c.Is
	}
	if j.Rules.BodyHash != "" {
		sum := sha256.Sum256(req.Body)
		claims[j.Rules.BodyHash] = hex.EncodeToString(sum[:])
	}
	if j.Nonce != "" {
		claims[j.Nonce] = rand.Text()
	}
	text, err := webtoken.Sign(j.Algorithms[0], []byte(key.Reveal()), claims)
	if err != nil {
		return err
	}
	return j.Place.SignRequest(req, secret.New(text))
}

// The bounds of a definition's lists.
const (
	maxTokenList = 16
	maxClaimText = 256
)

// token compiles the scheme jwt.
func (p Proof) token(c compiling) JWT {
	d := p.Token
	j := JWT{
		Place: SharedToken{Prefix: p.Signature.Prefix, At: c.spots("signature.at", p.Signature.At)}, KeysFrom: d.KeysFrom, SecretIs: d.SecretIs, Nonce: p.Nonce, Timed: p.Timestamp.Tolerance != nil,
		Rules: webtoken.Rules{Issuers: d.Issuers, Audiences: d.Audiences, BodyHash: d.BodyHash},
	}
	if j.Place.At == nil {
		j.Place.Header = c.header("signature.header", p.Signature.Header, true)
	}
	if j.Nonce != "" && !j.Timed {
		c.wrong("timestamp.toleranceSeconds", "A nonce is remembered for as long as a request is accepted: set how long.")
	}
	j.Rules.Ends = d.BodyHash == "" && !j.Timed
	for i, one := range d.Claims {
		if one.Claim == "" || one.Is == "" {
			c.wrong(fmt.Sprintf("jwt.claims[%d]", i), "A claim needs a name and a value.")
		}
		j.Rules.Claims = append(j.Rules.Claims, webtoken.Claim{Name: one.Claim, Is: one.Is})
	}
	j.Algorithms = d.algorithms(c)
	d.check(c)
	if d.KeysFrom != "" && d.SecretIs == "" {
		j.SecretIs = "aud"
	}
	for field, given := range map[string]bool{
		"signature.separator": p.Signature.Separator != "", "signature.hash": p.Signature.Hash != "", "signature.encoding": p.Signature.Encoding != "",
		"signature.key": p.Signature.Key != "", "signature.over": p.Signature.Over != "", "signature.idHeader": p.Signature.ID != "",
		"timestamp.header": p.Timestamp.Header != "", "timestamp.item": p.Timestamp.Item != "", "timestamp.at": p.Timestamp.At != "", "timestamp.unit": p.Timestamp.Unit != "",
	} {
		if given {
			c.wrong(field, "The scheme jwt does not take it: a token says itself what it needs.")
		}
	}
	return j
}

// algorithms are all of one kind.
func (d TokenDefinition) algorithms(c compiling) []string {
	names := d.Algorithms
	if len(names) == 0 && d.KeysFrom != "" {
		return []string{"RS256"}
	} else if len(names) == 0 {
		return []string{"HS256"}
	}
	public, secrets := 0, 0
	for i, name := range names {
		switch {
		case slices.Contains(webtoken.Public, name):
			public++
		case slices.Contains(webtoken.Shared, name):
			secrets++
		default:
			c.wrong(fmt.Sprintf("jwt.algorithms[%d]", i), "%q is unknown; write one of %s, %s.", name, strings.Join(webtoken.Public, ", "), strings.Join(webtoken.Shared, ", "))
		}
	}
	switch {
	case public > 0 && secrets > 0:
		c.wrong("jwt.algorithms", "Public and shared keys cannot be mixed: a public key could be taken for the secret.")
	case secrets > 0 && d.KeysFrom != "":
		c.wrong("jwt.algorithms", "Keys that everybody can download are public: write RS256 or another algorithm of public keys.")
	}
	return names
}

// check rejects a token that proves too little.
func (d TokenDefinition) check(c compiling) {
	address, err := url.Parse(d.KeysFrom)
	pinned := err == nil && address.Scheme == "https" && address.Hostname() != "" && address.User == nil && address.Fragment == "" && len(d.KeysFrom) <= maxClaimText
	for field, list := range map[string][]string{"jwt.issuers": d.Issuers, "jwt.audiences": d.Audiences} {
		if len(list) > maxTokenList || slices.ContainsFunc(list, func(text string) bool { return text == "" || len(text) > maxClaimText }) || list != nil && len(list) == 0 {
			c.wrong(field, "It must list 1 to %d texts of at most %d characters.", maxTokenList, maxClaimText)
		}
	}
	switch {
	case len(d.Claims) > maxTokenList:
		c.wrong("jwt.claims", "It may list at most %d claims.", maxTokenList)
	case d.KeysFrom == "" && d.SecretIs != "":
		c.wrong("jwt.secretIs", "Without keysFrom the secret is the key.")
	case d.KeysFrom == "":
	case !pinned:
		c.wrong("jwt.keysFrom", "It must be an address with https, such as https://issuer.example.com/jwks.json.")
	case len(d.Issuers) == 0:
		c.wrong("jwt.issuers", "It is required with keysFrom: the issuers whose tokens these keys sign.")
	case d.SecretIs != "" && d.SecretIs != "aud" && len(d.Audiences) == 0:
		c.wrong("jwt.audiences", "It is required, or a token that was made for another receiver would do; {url} is the webhook's URL.")
	}
}
