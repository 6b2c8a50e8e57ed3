package target

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
)

// Login says how a person logs in to a context's gateway: as which public client of which
// OpenID Connect issuer.
type Login struct {
	Issuer   string   `yaml:"issuer" json:"issuer"`
	ClientID string   `yaml:"clientId" json:"clientId"`
	Scopes   []string `yaml:"scopes,omitempty" json:"scopes"`
	Audience string   `yaml:"audience,omitempty" json:"audience"` // sent to issuers that ask for one
	IDToken  bool     `yaml:"idToken,omitempty" json:"idToken"`   // the gateway is shown the ID token, not the access token
}

// defaultScopes ask for a token that can be refreshed.
var defaultScopes = []string{"openid", "offline_access"}

// checkLogin refuses addresses that would show a token to the network.
func (c *Context) checkLogin() error {
	l := c.Login
	switch {
	case c.KeyFile != "":
		return errors.New("give a key file or an issuer, not both")
	case l.Issuer == "" || l.ClientID == "":
		return errors.New("a login needs an issuer and a client id")
	case !Secure(l.Issuer) || strings.ContainsAny(l.Issuer, "?#"):
		return fmt.Errorf("%q is no issuer: write its https:// address, just as the tokens' iss has it", l.Issuer)
	case !Secure(c.API):
		return errors.New("a login needs a gateway at an https:// address: the token would be sent unencrypted")
	}
	if len(l.Scopes) == 0 {
		l.Scopes = defaultScopes
	}
	return nil
}

// Secure reports whether an address is https, or http on this machine.
func Secure(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http" && Loopback(u.Hostname()))
}

// Loopback reports whether a host is this machine.
func Loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// TokenPath is the file with the token of a context's login.
func TokenPath(context string) (string, error) {
	path, err := Path()
	if err != nil {
		return "", err
	}
	return filepath.Join(filepath.Dir(path), "tokens", context+".json"), nil
}
