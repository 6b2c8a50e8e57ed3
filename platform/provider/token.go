package provider

import "integration-gateway/platform/secret"

// SharedToken verifies a secret that the provider sends verbatim. It authenticates the sender
// and not the body.
type SharedToken struct {
	Header string
	Prefix string // before the token, such as "Bearer "
}

// Verify compares the header's value with every secret.
func (t SharedToken) Verify(req Request, secrets []Secret) (Match, error) {
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
	req.Header.Set(t.Header, t.Prefix+key.Reveal())
	return nil
}

func (t SharedToken) headers() []string { return []string{t.Header} }
