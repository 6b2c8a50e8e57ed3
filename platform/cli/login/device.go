package login

import (
	"cmp"
	"context"
	"net/url"
	"strings"
	"time"

	"integration-gateway/platform/fault"
)

const (
	defaultInterval = 5 * time.Second // RFC 8628, section 3.2
	slowDown        = 5 * time.Second // section 3.5
	maxInterval     = time.Minute
	maxLifetime     = 30 * time.Minute // of a device code, whatever the issuer says
)

// Prompt is what a person must do to log in.
type Prompt struct {
	Code     string // to enter at the address
	URI      string
	Complete string // an address that holds the code; "" if there is none
	For      time.Duration
}

// Login lets a person log in with a browser on any device (OAuth 2.0 Device Authorization
// Grant, RFC 8628), and stores the token. It waits until the person has answered, the code has
// expired, or ctx ends.
func (t *Tokens) Login(ctx context.Context, show func(Prompt)) error {
	at, err := t.discover(ctx)
	if err != nil {
		return err
	}
	if at.device == "" || at.token == "" {
		return fault.Forbidden.New("no_device_login", "the issuer at %s has no device login (device_authorization_endpoint); use a key file", t.o.Login.Issuer)
	}
	form := url.Values{"scope": {strings.Join(t.o.Login.Scopes, " ")}}
	if t.o.Login.Audience != "" {
		form.Set("audience", t.o.Login.Audience)
	}
	asked := t.o.Now()
	device, err := t.post(ctx, at.device, form)
	switch {
	case err != nil:
		return err
	case device.Error != "":
		return t.refused(device)
	}
	p := Prompt{Code: device.UserCode, URI: cmp.Or(device.URI, device.URL), Complete: device.Complete, For: maxLifetime}
	if device.ExpiresIn > 0 && device.ExpiresIn < int64(maxLifetime/time.Second) {
		p.For = time.Duration(device.ExpiresIn) * time.Second
	}
	if device.DeviceCode == "" || p.Code == "" || !t.secure(p.URI) || p.Complete != "" && !t.secure(p.Complete) {
		return fault.Unavailable.New("issuer_unavailable", "the issuer at %s answered with no usable code or address", t.o.Login.Issuer)
	}
	show(p)
	got, err := t.poll(ctx, at.token, device, asked.Add(p.For))
	if err != nil {
		return err
	}
	return t.keep(got, "")
}

// poll asks for the token until the person has answered.
func (t *Tokens) poll(ctx context.Context, address string, device answer, until time.Time) (answer, error) {
	interval := defaultInterval
	if device.Interval > 0 {
		interval = min(time.Duration(min(device.Interval, 3600))*time.Second, maxInterval)
	}
	expired := fault.Unavailable.New("code_expired", "the code expired before anybody entered it; log in again")
	for {
		if t.o.Now().Add(interval).After(until) {
			return answer{}, expired
		}
		if !t.o.Wait(ctx, interval) {
			return answer{}, ctx.Err()
		}
		a, err := t.post(ctx, address, url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {device.DeviceCode},
		})
		switch {
		case ctx.Err() != nil:
			return answer{}, ctx.Err()
		case err != nil: // section 3.5: a client that got no answer asks less often
			interval = min(2*interval, maxInterval)
		case a.Error == "authorization_pending":
		case a.Error == "slow_down":
			interval = min(interval+slowDown, maxInterval)
		case a.Error == "access_denied":
			return answer{}, fault.Forbidden.New("login_denied", "the login was denied")
		case a.Error == "expired_token":
			return answer{}, expired
		case a.Error != "":
			return answer{}, t.refused(a)
		default:
			return a, nil
		}
	}
}
