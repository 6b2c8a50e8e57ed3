package login

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"integration-gateway/platform/cli/target"
	"integration-gateway/platform/fault"
)

const (
	callTimeout = 10 * time.Second // of one request to the issuer
	maxAnswer   = 1 << 20
	maxShown    = 300 // bytes of an issuer's description that are shown
)

// endpoints are an issuer's addresses. Those that it does not have are "".
type endpoints struct{ device, token, revocation string }

// bounded limits the size of an issuer's answers.
type bounded struct{}

func (bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxAnswer), res.Body}
	}
	return res, err
}

// discover reads the issuer's metadata (OpenID Connect Discovery, RFC 8414). All addresses
// must be as secure as the issuer's own.
func (t *Tokens) discover(ctx context.Context) (endpoints, error) {
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, t.http), callTimeout)
	defer cancel()
	provider, err := oidc.NewProvider(ctx, t.o.Login.Issuer)
	if err != nil {
		return endpoints{}, t.unavailable(err)
	}
	var more struct {
		Revocation string `json:"revocation_endpoint"`
	}
	if err := provider.Claims(&more); err != nil {
		return endpoints{}, t.unavailable(err)
	}
	found := endpoints{provider.Endpoint().DeviceAuthURL, provider.Endpoint().TokenURL, more.Revocation}
	for _, address := range []string{found.device, found.token, found.revocation} {
		if address != "" && !t.secure(address) {
			return endpoints{}, fault.Forbidden.New("insecure_issuer", "the issuer names an address that is not https: %s", address)
		}
	}
	return found, nil
}

// secure reports whether an address that the issuer names is as secure as its own.
func (t *Tokens) secure(address string) bool {
	return target.Secure(address) && (strings.HasPrefix(address, "https://") || !strings.HasPrefix(t.o.Login.Issuer, "https://"))
}

func (t *Tokens) unavailable(err error) error {
	text := err.Error()
	return fault.Unavailable.New("issuer_unavailable", "the issuer at %s cannot be used: %s", t.o.Login.Issuer, text[:min(len(text), maxShown)])
}

// answer is that of the device and token endpoints, success or error (RFC 8628, sections 3.2
// and 3.5; RFC 6749, sections 5.1 and 5.2). Times are in seconds.
type answer struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	URI        string `json:"verification_uri"`
	URL        string `json:"verification_url"` // how some issuers spell it
	Complete   string `json:"verification_uri_complete"`
	Interval   int64  `json:"interval"`

	AccessToken  string `json:"access_token"`
	IDToken      string `json:"id_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int64  `json:"expires_in"`

	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// post sends a form as this public client. An error of the issuer is in the answer; the
// returned error means that there was none that could be understood.
func (t *Tokens) post(ctx context.Context, address string, form url.Values) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	form.Set("client_id", t.o.Login.ClientID)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, t.unavailable(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	res, err := t.http.Do(r)
	if err != nil {
		return answer{}, t.unavailable(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, t.unavailable(err)
	}
	var a answer
	err = json.Unmarshal(text, &a)
	switch {
	case res.StatusCode == http.StatusOK && len(text) == 0: // of a revocation
		return answer{}, nil
	case res.StatusCode == http.StatusOK && err == nil && a.Error == "":
		return a, nil
	case res.StatusCode >= 400 && res.StatusCode < 500 && res.StatusCode != http.StatusTooManyRequests && err == nil && a.Error != "":
		return a, nil
	}
	return answer{}, t.unavailable(fmt.Errorf("it answered with status %d", res.StatusCode))
}

// refused is an issuer's error as one of this program.
func (t *Tokens) refused(a answer) error {
	text := a.Error
	if a.Description != "" {
		text += ", " + a.Description
	}
	return fault.Forbidden.New("issuer_refused", "the issuer at %s refused the client %s: %s", t.o.Login.Issuer, t.o.Login.ClientID, text[:min(len(text), maxShown)])
}
