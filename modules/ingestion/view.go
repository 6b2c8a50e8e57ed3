package ingestion

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// eventRow is an event with its state, as it is read and, but for the payload, shown.
type eventRow struct {
	ID                 string          `db:"id" json:"id"`
	WebhookEventID     string          `db:"webhook_event_id" json:"webhookEventId"`
	IntegrationID      string          `db:"integration_id" json:"integrationId"`
	Source             string          `db:"source" json:"source"`
	Provider           string          `db:"provider" json:"provider"`
	ExternalEventID    *string         `db:"external_event_id" json:"externalEventId"`
	EventType          string          `db:"event_type" json:"eventType"`
	Subject            *string         `db:"subject" json:"subject"`
	OccurredAt         clock.Time      `db:"occurred_at" json:"occurredAt"`
	NormalizedPayload  json.RawMessage `db:"normalized_payload" json:"normalizedPayload"`
	Status             string          `db:"status" json:"status"`
	ProcessingAttempts int             `db:"processing_attempts" json:"processingAttempts"`
	LastError          *string         `db:"last_error" json:"lastError"`
	LastProcessedAt    *clock.Time     `db:"last_processed_at" json:"lastProcessedAt"`
	ErasedAt           *clock.Time     `db:"erased_at" json:"erasedAt"`
	CorrelationID      string          `db:"correlation_id" json:"correlationId"`
	ReceivedAt         clock.Time      `db:"received_at" json:"receivedAt"`
	CreatedAt          clock.Time      `db:"created_at" json:"createdAt"`
	UpdatedAt          clock.Time      `db:"updated_at" json:"updatedAt"`
}

// shown makes the payload fit for an answer, which is UTF-8, and gives texts at their
// full length that the columns had to cut.
func (e eventRow) shown() eventRow {
	if e.ErasedAt != nil {
		e.NormalizedPayload = nil
		return e
	}
	e.NormalizedPayload = bytes.ToValidUTF8(e.NormalizedPayload, []byte(string(utf8.RuneError)))
	if !cut(e.ExternalEventID) && !cut(&e.EventType) && !cut(e.Subject) {
		return e
	}
	var full struct {
		ExternalEventID *string `json:"externalEventId"`
		EventType       string  `json:"eventType"`
		Subject         *string `json:"subject"`
	}
	if json.Unmarshal(e.NormalizedPayload, &full) == nil {
		e.ExternalEventID, e.EventType, e.Subject = full.ExternalEventID, full.EventType, full.Subject
	}
	return e
}

// cut reports whether a column's text may have been longer.
func cut(text *string) bool {
	return text != nil && utf8.RuneCountInString(*text) >= provider.MaxText
}

type webhookRow struct {
	ID              string     `db:"id"`
	Provider        string     `db:"provider"`
	ExternalEventID *string    `db:"external_event_id"`
	IdempotencyKey  string     `db:"idempotency_key"`
	SignatureValid  bool       `db:"signature_valid"`
	RequestHeaders  string     `db:"request_headers"`
	RawBody         []byte     `db:"raw_body"`
	BodyState       string     `db:"body_state"`
	SourceIP        string     `db:"source_ip"`
	ReceivedAt      clock.Time `db:"received_at"`
}

type webhookView struct {
	ID              string            `json:"id"`
	Provider        string            `json:"provider"`
	ExternalEventID *string           `json:"externalEventId"`
	IdempotencyKey  string            `json:"idempotencyKey"`
	SignatureValid  bool              `json:"signatureValid"`
	RequestHeaders  map[string]string `json:"requestHeaders"`
	RawPayload      json.RawMessage   `json:"rawPayload"` // the body as JSON, or as a string when it is none
	RawBody         []byte            `json:"rawBody"`    // what is kept of its bytes, in base64
	BodyState       string            `json:"bodyState"`  // exact, redacted or erased
	SourceIP        *string           `json:"sourceIp"`
	ReceivedAt      clock.Time        `json:"receivedAt"`
}

func (w webhookRow) view() webhookView {
	v := webhookView{
		ID: w.ID, Provider: w.Provider, ExternalEventID: w.ExternalEventID, IdempotencyKey: w.IdempotencyKey,
		SignatureValid: w.SignatureValid, RequestHeaders: joinedHeaders(w.RequestHeaders),
		RawPayload: rawPayload(w.RawBody), RawBody: orEmpty(w.RawBody), BodyState: w.BodyState, ReceivedAt: w.ReceivedAt,
	}
	if w.SourceIP != "" {
		v.SourceIP = &w.SourceIP
	}
	return v
}

// takeID gives the webhook's external id as e has it, where it is e's.
func (v *webhookView) takeID(e eventRow) {
	if v != nil && cut(v.ExternalEventID) && e.ExternalEventID != nil && *v.ExternalEventID == *e.ExternalEventID {
		v.ExternalEventID = e.shown().ExternalEventID
	}
}

// joinedHeaders shows each header as one text, as clients of the described service
// know them; a header given several times means the same with a comma (RFC 9110
// section 5.3).
func joinedHeaders(stored string) map[string]string {
	var headers map[string][]string
	_ = json.Unmarshal([]byte(stored), &headers) // written by storedHeaders
	shown := make(map[string]string, len(headers))
	for name, values := range headers {
		shown[name] = strings.Join(values, ", ")
	}
	return shown
}

func rawPayload(body []byte) json.RawMessage {
	text := bytes.ToValidUTF8(provider.WithoutBOM(body), []byte(string(utf8.RuneError)))
	if json.Valid(text) {
		return text
	}
	quoted, _ := json.Marshal(string(text)) // strings always marshal
	return quoted
}

type statusView struct {
	EventID            string         `json:"eventId" db:"event_id"`
	Status             string         `json:"status" db:"status"`
	ProcessingAttempts int            `json:"processingAttempts" db:"processing_attempts"`
	LastError          *string        `json:"lastError" db:"last_error"`
	LastProcessedAt    *clock.Time    `json:"lastProcessedAt" db:"last_processed_at"`
	Jobs               []contract.Job `json:"jobs"`
}

// orEmpty makes an empty list of none, since answers hold arrays.
func orEmpty[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
