package destination

import (
	"encoding/json"
	"fmt"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/secret"
)

// The kinds of credential that a destination may ask for.
const (
	authNone   = "none"
	authBasic  = "basic"
	authBearer = "bearer"
	authOAuth  = "oauth2"
)

// credential is a destination's credential as it is sealed: contract.DestinationAuth with
// its secrets in the open.
type credential struct {
	Type         string   `json:"type"`
	Username     string   `json:"username,omitempty"`
	Password     string   `json:"password,omitempty"`
	Token        string   `json:"token,omitempty"`
	TokenURL     string   `json:"tokenUrl,omitempty"`
	ClientID     string   `json:"clientId,omitempty"`
	ClientSecret string   `json:"clientSecret,omitempty"` //nolint:gosec // sealed before it is stored
	Scopes       []string `json:"scopes,omitempty"`
}

func newCredential(a contract.DestinationAuth) credential {
	return credential{Type: a.Type, Username: a.Username, Password: a.Password.Reveal(), Token: a.Token.Reveal(),
		TokenURL: a.TokenURL, ClientID: a.ClientID, ClientSecret: a.ClientSecret.Reveal(), Scopes: a.Scopes}
}

func (c credential) kind() string {
	if c.Type == "" {
		return authNone
	}
	return c.Type
}

// sealJSON seals value for a column; nil when there is nothing to keep.
func sealJSON(s Sealer, at secret.Place, value any, empty bool) (*string, error) {
	if empty {
		return nil, nil //nolint:nilnil // a column without a value
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	sealed, err := s.Seal(at, secret.New(string(text)))
	return &sealed, err
}

func unsealJSON(s Sealer, at secret.Place, sealed *string, into any) error {
	if sealed == nil {
		return nil
	}
	value, err := s.Open(at, *sealed)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(value.Reveal()), into); err != nil {
		return fmt.Errorf("it is no JSON: %w", err)
	}
	return nil
}
