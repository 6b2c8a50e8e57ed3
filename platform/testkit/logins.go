package testkit

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"

	"integration-gateway/platform/id"
)

// The client with which people sign in at an Issuer.
const (
	ClientID     = "gateway-console"
	ClientSecret = "the-secret-of-the-console" //nolint:gosec // of tests
)

// logins is an Issuer's part of the authorization code flow with PKCE. Everybody who comes is
// logged in already.
type logins struct {
	access, id map[string]any // additional claims of the tokens that it makes
	refusal    string         // with which it sends browsers back
	codes      map[string]url.Values
}

// SetClaims sets the claims of those who sign in: of the access token, and of the ID token, whose
// audience is the client. nil makes an access token that is no JWT.
func (i *Issuer) SetClaims(access, id map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.logins.access, i.logins.id = access, id
}

// SetRefusal makes it send browsers back with an error; "" ends that.
func (i *Issuer) SetRefusal(text string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.logins.refusal = text
}

// authorize sends the browser back with a code that is good once.
func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || q.Get("client_id") != ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" {
		http.Error(w, "this request is none of the client's", http.StatusBadRequest)
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	code := id.New()
	answer := url.Values{"state": {q.Get("state")}, "code": {code}}
	if i.logins.refusal != "" {
		answer = url.Values{"state": {q.Get("state")}, "error": {"access_denied"}, "error_description": {i.logins.refusal}}
	} else {
		if i.logins.codes == nil {
			i.logins.codes = map[string]url.Values{}
		}
		i.logins.codes[code] = q
	}
	back.RawQuery = answer.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// redeem gives tokens for a code, to who began.
func (i *Issuer) redeem(w http.ResponseWriter, r *http.Request) {
	clientID, secret, _ := r.BasicAuth()
	i.mu.Lock()
	begun, known := i.logins.codes[r.PostFormValue("code")]
	delete(i.logins.codes, r.PostFormValue("code"))
	access, person := maps.Clone(i.logins.access), maps.Clone(i.logins.id)
	i.mu.Unlock()
	refuse := func(status int, text string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": text})
	}
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	switch {
	case clientID != ClientID || secret != ClientSecret:
		refuse(http.StatusUnauthorized, "invalid_client")
		return
	case !known || begun.Get("redirect_uri") != r.PostFormValue("redirect_uri") || begun.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]):
		refuse(http.StatusBadRequest, "invalid_grant")
		return
	}
	if person == nil {
		person = map[string]any{}
	}
	for name, value := range map[string]any{"aud": ClientID, "nonce": begun.Get("nonce")} {
		if _, given := person[name]; !given {
			person[name] = value
		}
	}
	answer := map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": "opaque", "id_token": i.Token(person)}
	if access != nil {
		answer["access_token"] = i.Token(access)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}
