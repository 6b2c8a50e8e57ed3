package provider

import (
	"slices"
	"strings"

	"integration-gateway/platform/secret"
)

// SharedToken verifies a secret that the provider sends verbatim. It authenticates the sender
// and not the body.
type SharedToken struct {
	Header string
	Prefix string // before the token, such as "Bearer "
	At     []spot // in place of Header; the token of one must match
}

// Verify compares the header's value with every secret.
func (t SharedToken) Verify(req Request, secrets []Secret) (Match, error) {
	if t.At != nil {
		return t.matchSpots(req, secrets)
	}
	value, err := credential(req.Header, t.Header)
	if err != nil {
		return Match{}, err
	}
	if len(value) < len(t.Prefix) || value[:len(t.Prefix)] != t.Prefix {
		return Match{}, refuse(MalformedSignature, "%s does not start with %q", t.Header, t.Prefix)
	}
	return matchAny(secrets, func(s secret.Value) bool { return s.Equal(value[len(t.Prefix):]) })
}

// SignRequest sets the token.
func (t SharedToken) SignRequest(req *Request, key secret.Value) error {
	if t.At != nil {
		t.At[0].write(req, t.Prefix+key.Reveal())
		return nil
	}
	req.Header.Set(t.Header, t.Prefix+key.Reveal())
	return nil
}

// matchSpots compares what is at each spot with every secret.
func (t SharedToken) matchSpots(req Request, secrets []Secret) (Match, error) {
	values, err := readFirst(req, t.At)
	if err != nil {
		return Match{}, err
	}
	tokens := slices.DeleteFunc(values, func(v string) bool { return !strings.HasPrefix(v, t.Prefix) })
	if len(tokens) == 0 {
		return Match{}, refuse(MalformedSignature, "%s does not start with %q", t.At[0], t.Prefix)
	}
	return matchAny(secrets, func(s secret.Value) bool {
		matched := false
		for _, one := range tokens {
			matched = s.Equal(one[len(t.Prefix):]) || matched
		}
		return matched
	})
}

func (t SharedToken) headers() []string {
	if t.At != nil {
		return headerSpots(t.At)
	}
	return []string{t.Header}
}
