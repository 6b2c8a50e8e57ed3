package webtoken

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Leeway is how far the clocks of an issuer and of the gateway may differ.
const Leeway = time.Minute

// Claim is a claim that must have this value.
type Claim struct {
	Name, Is string
}

// Rules are what a token's claims must be.
type Rules struct {
	Issuers   []string // its issuer is one of these; nil for any
	Audiences []string // it is for one of these; nil for any
	Claims    []Claim
	// BodyHash is the claim that is the SHA-256 of the request's body, in hex; "" for none.
	BodyHash string
	// Ends says that a token without an end is refused.
	Ends bool
}

// Expired says that a token does not hold at a time.
type Expired struct{ why string }

func (e Expired) Error() string { return e.why }

// Check checks the claims of a token that comes with this body at this time. Its error is an
// Expired, or says which claim is wrong.
func (r Rules) Check(t Token, body []byte, at time.Time) error {
	if issuer, _ := t.Claim("iss"); r.Issuers != nil && !slices.Contains(r.Issuers, issuer) {
		return fmt.Errorf("the issuer is %s", shown(issuer))
	}
	if r.Audiences != nil && !slices.ContainsFunc(r.Audiences, t.isFor) {
		return fmt.Errorf("the audience is none of %s", strings.Join(r.Audiences, ", "))
	}
	for _, c := range r.Claims {
		if found, ok := t.Claim(c.Name); !ok || found != c.Is {
			return fmt.Errorf("the claim %s is %s and must be %s", c.Name, shown(found), shown(c.Is))
		}
	}
	if err := r.within(t, at); err != nil {
		return err
	}
	if r.BodyHash == "" {
		return nil
	}
	claimed, _ := t.Claim(r.BodyHash)
	sum := sha256.Sum256(body)
	if subtle.ConstantTimeCompare([]byte(strings.ToLower(claimed)), []byte(hex.EncodeToString(sum[:]))) != 1 {
		return fmt.Errorf("the claim %s is not the SHA-256 of the body", r.BodyHash)
	}
	return nil
}

func (r Rules) within(t Token, at time.Time) error {
	end, ends, err := t.Time("exp")
	if err != nil {
		return err
	}
	begin, begins, err := t.Time("nbf")
	switch {
	case err != nil:
		return err
	case !ends && r.Ends:
		return Expired{"it has no claim exp, so it would be valid for ever"}
	case ends && !at.Before(end.Add(Leeway)):
		return Expired{"it ended at " + end.Format(time.RFC3339)}
	case begins && at.Before(begin.Add(-Leeway)):
		return Expired{"it is not valid before " + begin.Format(time.RFC3339)}
	}
	return nil
}

// Claim returns a claim that is a text, a number or true or false, as text.
func (t Token) Claim(name string) (string, bool) {
	switch v := t.claims[name].(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// Audiences returns those that the token is for.
func (t Token) Audiences() []string {
	switch v := t.claims["aud"].(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, one := range v {
			if text, ok := one.(string); ok {
				all = append(all, text)
			}
		}
		return all
	}
	return nil
}

func (t Token) isFor(audience string) bool { return slices.Contains(t.Audiences(), audience) }

// Time returns a claim that is a time, in seconds since 1970; ok is false if there is none.
func (t Token) Time(name string) (at time.Time, ok bool, err error) {
	value, given := t.claims[name]
	if !given {
		return at, false, nil
	}
	number, _ := value.(json.Number)
	seconds, err := number.Float64()
	if err != nil || math.Abs(seconds) > maxSeconds {
		return at, false, fmt.Errorf("the claim %s is not a time", name)
	}
	return time.Unix(int64(seconds), 0).UTC(), true, nil
}

// maxSeconds keeps times within the calendar.
const maxSeconds = 1e11

// maxShown bounds what is shown of a claim.
const maxShown = 80

func shown(text string) string {
	if text == "" {
		return "missing"
	}
	return strconv.Quote(text[:min(len(text), maxShown)])
}
