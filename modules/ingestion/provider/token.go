package provider

import "integration-gateway/platform/secret"

// SharedToken is a secret that the provider sends as it is. It proves who sent the
// request and nothing about the body.
type SharedToken struct{ Header string }

// Verify holds the header's value against every secret.
func (t SharedToken) Verify(req Request, secrets []Secret) (Match, error) {
	value, err := credential(req.Header, t.Header)
	if err != nil {
		return Match{}, err
	}
	return matchAny(secrets, func(s secret.Value) bool { return s.Equal(value) })
}
