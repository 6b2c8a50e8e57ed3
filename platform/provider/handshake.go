package provider

// Reply is an answer in the form that a provider requires.
type Reply struct {
	Status      int
	ContentType string
	Body        []byte
	Header      map[string]string // besides the content type
	What        string            // names the handshake in the audit trail: "url_verification"
	Open        string            // a page that must be opened to complete the handshake; "" for none
	Visit       bool              // the gateway opens it
	Unproved    bool              // anybody may have sent the request: it is not audited
}

// HandshakeReply answers a request that is not an event; nil for events.
func (s Spec) HandshakeReply(req Request) *Reply {
	if s.Handshake == nil {
		return nil
	}
	return s.Handshake(req)
}

// GreetingReply answers a request that checks the address and that the provider does not sign;
// nil for others.
func (s Spec) GreetingReply(req Request, secrets []Secret) *Reply {
	if s.Greet == nil {
		return nil
	}
	return s.Greet(req, secrets)
}

// AcknowledgeReply returns the provider's own answer to a stored webhook; nil for the
// gateway's receipt.
func (s Spec) AcknowledgeReply(req Request) *Reply {
	if s.Acknowledge == nil {
		return nil
	}
	return s.Acknowledge(req)
}
