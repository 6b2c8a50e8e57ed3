package provider

var _ = register(globex)

// globex sends a shared token in x-globex-token.
//
//	{"id": "…", "type": "…", "timestamp": "…", "resource": {"id": "…", …}}
//
// The subject is resource.id. Consumers find the resource under data and under its own name.
func globex() Spec {
	const header = "X-Globex-Token"
	return Spec{
		Name:  "globex",
		Title: "Globex",
		Help:  "Globex sends the shared secret verbatim in x-globex-token.",
		Guide: Guide{
			Steps: []string{"At Globex, enter <URL> as the webhook's URL.", "Copy the shared token into the integration."},
			Paste: "the shared token",
		},
		Verify:    SharedToken{Header: header},
		Unsigned:  "The token authenticates the sender and not the body.",
		Normalize: normalizeGlobex,
		Sensitive: []string{header},
		Samples: []Sample{{
			Type: "invoice.paid",
			Body: `{"id":"glx_$ID","type":"invoice.paid","timestamp":"$NOW","resource":{"id":"inv_$ID","amount":"120.00"}}`,
		}},
	}
}

func normalizeGlobex(req Request) ([]Event, error) {
	body, err := parseObject(req.Body)
	if err != nil {
		return nil, err
	}
	c := canonical{provider: "globex", also: "resource"}
	if c.id, err = body.text("id"); err != nil {
		return nil, err
	}
	if c.eventType, err = body.text("type"); err != nil {
		return nil, err
	}
	if c.occurredAt, err = body.time("timestamp"); err != nil {
		return nil, err
	}
	resource, raw, err := body.object("resource")
	if err != nil {
		return nil, err
	}
	c.data, c.subject = raw, resource.identifier("id")
	return []Event{c.event()}, nil
}
