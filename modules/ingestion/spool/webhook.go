package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"integration-gateway/platform/keyring"
)

// Webhook is a verified webhook as it waits in the spool: redacted, and with its ids, so that one
// whose first commit did happen is recognised.
type Webhook struct {
	ID             string    `json:"id"`
	Source         string    `json:"source"`
	IntegrationID  string    `json:"integrationId"`
	Provider       string    `json:"provider"`
	SecretID       string    `json:"secretId"`
	CorrelationID  string    `json:"correlationId"`
	SourceIP       string    `json:"sourceIp"`
	ReceivedAt     time.Time `json:"receivedAt"`
	WindowSeconds  int       `json:"windowSeconds,omitempty"` // for which the same body is the same event
	Hops           int       `json:"hops,omitempty"`
	Redacted       bool      `json:"redacted,omitempty"`
	PossibleReplay bool      `json:"possibleReplay,omitempty"`
	Marks          *string   `json:"marks,omitempty"`
	Headers        []byte    `json:"headers"` // these and the next as package compact makes them
	Body           []byte    `json:"body"`
	Events         []Event   `json:"events"`
}

// Event is one of a webhook's events.
type Event struct {
	ID         string    `json:"id"`
	Key        string    `json:"key"` // without the number of its window
	ExternalID *string   `json:"externalId"`
	Type       string    `json:"type"`
	Subject    *string   `json:"subject"`
	OccurredAt time.Time `json:"occurredAt"`
	Payload    []byte    `json:"payload"`
}

// version is the version of the message. A program refuses others than it knows: they are parked.
const version = 1

// message is what the broker holds. The digest is keyed: it keeps whoever can write to the broker from
// planting webhooks that nobody verified.
type message struct {
	Version int             `json:"version"`
	Digest  string          `json:"digest"`
	Webhook json.RawMessage `json:"webhook"`
}

// digested is what the digest is of.
func digested(webhook []byte) string { return "spooled webhook\n" + string(webhook) }

func (s *Spool) encode(w Webhook) ([]byte, error) {
	webhook, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("write a spooled webhook: %w", err)
	}
	body, err := json.Marshal(message{version, s.d.Digester.Digest(digested(webhook)), webhook})
	if err != nil {
		return nil, fmt.Errorf("write a spooled webhook: %w", err)
	}
	return body, nil
}

var errForged = errors.New("read a spooled webhook: it was changed, or was not written by a process with SECRETS_KEY or one of SECRETS_READ_KEYS")

// keyed reports whether there is a key: then what anybody can write without it is refused.
func (s *Spool) keyed() bool { return keyring.DigestKey(s.d.Digester.Digest("")) != "" }

func (s *Spool) decode(body []byte) (w Webhook, err error) {
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return w, fmt.Errorf("read a spooled webhook: %w", err)
	}
	switch {
	case m.Version != version:
		return w, fmt.Errorf("read a spooled webhook: its version is %d, and this program knows %d", m.Version, version)
	case !s.d.Digester.Matches(digested(m.Webhook), m.Digest), s.keyed() && keyring.DigestKey(m.Digest) == "":
		return w, errForged
	}
	if err := json.Unmarshal(m.Webhook, &w); err != nil {
		return w, fmt.Errorf("read a spooled webhook: %w", err)
	}
	if w.ID == "" || w.IntegrationID == "" || len(w.Events) == 0 {
		return w, errors.New("read a spooled webhook: it has no id, integration or events")
	}
	return w, nil
}
