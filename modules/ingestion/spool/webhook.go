package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
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

type message struct {
	Version int `json:"version"`
	Webhook
}

func encode(w Webhook) ([]byte, error) {
	body, err := json.Marshal(message{version, w})
	if err != nil {
		return nil, fmt.Errorf("write a spooled webhook: %w", err)
	}
	return body, nil
}

func decode(body []byte) (Webhook, error) {
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return Webhook{}, fmt.Errorf("read a spooled webhook: %w", err)
	}
	switch {
	case m.Version != version:
		return Webhook{}, fmt.Errorf("read a spooled webhook: its version is %d, and this program knows %d", m.Version, version)
	case m.ID == "" || m.IntegrationID == "" || len(m.Events) == 0:
		return Webhook{}, errors.New("read a spooled webhook: it has no id, integration or events")
	}
	return m.Webhook, nil
}
