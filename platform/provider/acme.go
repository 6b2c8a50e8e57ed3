package provider

import "crypto/sha256"

var _ = register(acme)

// acme signs the raw body: x-acme-signature is its HMAC-SHA256 in hex.
//
//	{"eventId": "…", "eventType": "…", "occurredAt": "…", "subject": "…", "data": {…}}
//
// The subject is optional and defaults to data.id.
func acme() Spec {
	return Spec{
		Name:  "acme",
		Title: "Acme",
		Help:  "Acme signs each body with the shared secret: x-acme-signature is the HMAC-SHA256 of the raw body in hex.",
		Guide: Guide{
			Steps: []string{"At Acme, enter <URL> as the webhook's URL.", "Copy the signing secret into the integration."},
			Paste: "the signing secret",
		},
		Verify: HMAC{Hash: sha256.New, Signed: Signed{
			Header: "X-Acme-Signature", Encoding: Hex, Prefix: "sha256=", Bare: true, Separator: ",",
		}},
		Normalize: normalizeAcme,
		Samples: []Sample{{
			Type: "order.created",
			Body: `{"eventId":"evt_$ID","eventType":"order.created","occurredAt":"$NOW","data":{"id":"ord_$ID","total":"19.90"}}`,
		}},
	}
}

func normalizeAcme(req Request) ([]Event, error) {
	body, err := parseObject(req.Body)
	if err != nil {
		return nil, err
	}
	c := canonical{provider: "acme"}
	if c.id, err = body.text("eventId"); err != nil {
		return nil, err
	}
	if c.eventType, err = body.text("eventType"); err != nil {
		return nil, err
	}
	if c.occurredAt, err = body.time("occurredAt"); err != nil {
		return nil, err
	}
	if c.subject, err = body.optionalText("subject"); err != nil {
		return nil, err
	}
	data, raw, err := body.object("data")
	if err != nil {
		return nil, err
	}
	c.data = raw
	if c.subject.absent() {
		c.subject = data.identifier("id")
	}
	return []Event{c.event()}, nil
}
