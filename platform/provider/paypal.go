package provider

import (
	"crypto"
	"fmt"
	"hash/crc32"
	"regexp"
	"time"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

var _ = register(paypal)

// paypal signs the transmission's id and time, the webhook's id and a checksum of the
// body, with a key whose certificate it publishes.
//
// https://developer.paypal.com/api/rest/webhooks/rest/
func paypal() Spec {
	return Spec{
		Name:  "paypal",
		Title: "PayPal",
		Help: "PAYPAL-TRANSMISSION-SIG is an RSA signature by a key whose certificate is downloaded from api.paypal.com and cached. " +
			"The integration's secret is the webhook's id, which is signed too. PayPal tries up to 25 times in 3 days.",
		Guide: Guide{
			Docs: "https://developer.paypal.com/api/rest/webhooks/rest/",
			Steps: []string{
				"In the Developer Dashboard open the app, then Add Webhook. Webhook URL: <URL>. Choose the events and save.",
				"Copy the Webhook ID from the list into the integration as its secret. Events of the simulator cannot be verified: they have an id of their own.",
			},
			Paste: "the webhook's id, as the app's page lists it",
		},
		Verify:    paypalSignature{},
		Tolerance: 4 * 24 * time.Hour, // PayPal retries for three days
		Unsigned:  "The signature covers only a CRC-32 of the body, which does not stop a forger with a captured request. A transmission is therefore accepted with one body only, for as long as the cache remembers it.",
		Public:    true,
		Events: Mapping{
			ID: field("id"), Type: field("event_type"), Subject: firstOf(field("resource.id"), field("resource.dispute_id")), Time: at(RFC3339, field("create_time")),
		},
	}
}

var paypalCertificate = regexp.MustCompile(`^https://api(-m)?(\.sandbox)?\.paypal\.com/v1/notifications/certs/[A-Za-z0-9-]{1,64}$`)

// paypalSignature is PayPal's signature scheme.
type paypalSignature struct{}

// Verify tries the signature with every webhook's id.
func (paypalSignature) Verify(req Request, secrets []Secret) (Match, error) {
	values := map[string]string{}
	for _, name := range []string{"Id", "Time", "Sig"} {
		value, err := credential(req.Header, "Paypal-Transmission-"+name)
		if err != nil {
			return Match{}, err
		}
		values[name] = value
	}
	address, err := credential(req.Header, "Paypal-Cert-Url")
	if err != nil {
		return Match{}, err
	}
	algorithm, err := credential(req.Header, "Paypal-Auth-Algo")
	if err != nil {
		return Match{}, err
	}
	signature, err := Base64.decode(values["Sig"])
	at, ok := RFC3339.parse(values["Time"])
	if err != nil || !ok || algorithm != "SHA256withRSA" {
		return Match{}, refuse(MalformedSignature, "the headers PAYPAL-… hold no well-formed signature by SHA256withRSA")
	}
	var failure error
	match, err := matchAny(secrets, func(webhook secret.Value) bool {
		message := fmt.Appendf(nil, "%s|%s|%s|%d", values["Id"], values["Time"], webhook.Reveal(), crc32.ChecksumIEEE(req.Body))
		failed := certified(req, at, paypalCertificate, address, crypto.SHA256, message, signature)
		if f := fault.As(failed); f != nil && f.Reason != string(NoMatch) {
			failure = failed
		}
		return failed == nil
	})
	if err != nil && failure != nil {
		return Match{}, failure
	}
	match.SignedAt, match.SingleUse = at, values["Id"]
	return match, err
}

func (paypalSignature) headers() []string {
	return []string{"Paypal-Transmission-Id", "Paypal-Transmission-Time", "Paypal-Transmission-Sig", "Paypal-Cert-Url", "Paypal-Auth-Algo"}
}
