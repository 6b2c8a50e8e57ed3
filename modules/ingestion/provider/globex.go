package provider

// globex sends a shared token in x-globex-token.
//
//	{"id": "…", "type": "…", "timestamp": "…", "resource": {"id": "…", …}}
//
// The subject is resource.id. Its consumers find the resource under data and under
// its own name.
func globex() Spec {
	const header = "X-Globex-Token"
	return Spec{
		Name:      "globex",
		Title:     "Globex",
		Help:      "Globex sends the shared secret as it is in x-globex-token.",
		Verify:    SharedToken{Header: header},
		Normalize: normalizeGlobex,
		Sensitive: []string{header},
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
