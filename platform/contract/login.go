package contract

// CodeFlow is one sign-in of a person at an OpenID Connect issuer, by the authorization code flow
// with PKCE. State, Nonce and Verifier are unguessable, and bound to the browser.
type CodeFlow struct {
	Redirect string // the address to which the issuer sends the browser back
	State    string // comes back with it
	Nonce    string // comes back in the ID token
	Verifier string // proves to the issuer who began (RFC 7636)
}
