package ingestion

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/provider"
)

// eventRow is an event with its state, as it is read and shown.
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
	NormalizedPayload  json.RawMessage `db:"-" json:"normalizedPayload"`
	PayloadOmitted     bool            `db:"-" json:"payloadOmitted"`     // too large for this list; the event alone has it
	StoredPayload      []byte          `db:"normalized_payload" json:"-"` // these three are as stored: open needs them
	PayloadSize        int             `db:"payload_size" json:"-"`
	RawBody            []byte          `db:"raw_body" json:"-"`
	Status             string          `db:"status" json:"status" api:"enum=pending|processing|processed|retrying|failed"`
	ProcessingAttempts int             `db:"processing_attempts" json:"processingAttempts"`
	LastError          *string         `db:"last_error" json:"lastError"`
	LastProcessedAt    *clock.Time     `db:"last_processed_at" json:"lastProcessedAt"`
	ErasedAt           *clock.Time     `db:"erased_at" json:"erasedAt"`
	CorrelationID      string          `db:"correlation_id" json:"correlationId"`
	ReceivedAt         clock.Time      `db:"received_at" json:"receivedAt"`
	CreatedAt          clock.Time      `db:"created_at" json:"createdAt"`
	UpdatedAt          clock.Time      `db:"updated_at" json:"updatedAt"`
}

// open replaces the stored payload by the payload, or omits it where the others of the list take
// the memory of one read.
func (e *eventRow) open(ctx context.Context, c *content) (err error) {
	if e.ErasedAt == nil {
		var fits bool
		e.NormalizedPayload, fits, err = c.payload(ctx, e.ID, e.PayloadSize, e.StoredPayload, e.RawBody)
		e.PayloadOmitted = err == nil && !fits
	}
	e.StoredPayload, e.RawBody = nil, nil
	return err
}

// shown makes the payload valid UTF-8 and restores texts that the columns had to cut.
func (e eventRow) shown() eventRow {
	if e.ErasedAt != nil {
		e.NormalizedPayload = nil
		return e
	}
	if e.PayloadOmitted {
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
	ID              string  `db:"id"`
	ExternalEventID *string `db:"external_event_id"`
	IdempotencyKey  *string `db:"idempotency_key"`
	RequestHeaders  []byte  `db:"request_headers"`
	HeaderSet       []byte  `db:"header_set"`
	RawBody         []byte  `db:"raw_body"`
	BodyState       string  `db:"body_state"`
	PossibleReplay  bool    `db:"possible_replay"`
	SourceIP        string  `db:"source_ip"`
	Marks           *string `db:"marks"`
}

type webhookView struct {
	ID              string            `json:"id"`
	Provider        string            `json:"provider"`
	ExternalEventID *string           `json:"externalEventId"`
	IdempotencyKey  string            `json:"idempotencyKey"`
	SignatureValid  bool              `json:"signatureValid"`
	RequestHeaders  map[string]string `json:"requestHeaders"`
	RawPayload      json.RawMessage   `json:"rawPayload"`                                 // the body as JSON, or as a string if it is not JSON
	RawBody         []byte            `json:"rawBody"`                                    // the stored bytes, in base64
	BodyState       string            `json:"bodyState" api:"enum=exact|redacted|erased"` // exact, redacted or erased
	PossibleReplay  bool              `json:"possibleReplay"`                             // the same signed message was received before under another id
	Marks           []mark            `json:"marks"`                                      // what is odd about it
	SourceIP        *string           `json:"sourceIp"`
	ReceivedAt      clock.Time        `json:"receivedAt"`
}

// open replaces the stored headers and body by the headers and the body.
func (w *webhookRow) open() (err error) {
	if w.RequestHeaders, err = openHeaders("webhook", w.ID, w.RequestHeaders, w.HeaderSet); err == nil {
		w.RawBody, err = openBody("webhook", w.ID, w.RawBody)
	}
	return err
}

// complete restores the id and key that the row of e, the webhook's only event, yields.
func (w webhookRow) complete(e eventRow) webhookRow {
	if w.IdempotencyKey == nil && e.ExternalEventID != nil {
		key := e.Source + ":" + *e.ExternalEventID
		w.IdempotencyKey, w.ExternalEventID = &key, e.ExternalEventID
	}
	return w
}

// view returns the webhook as one of its events shows it. Only verified webhooks are stored.
func (w webhookRow) view(e eventRow) webhookView {
	w = w.complete(e)
	v := webhookView{
		ID: w.ID, Provider: e.Provider, ExternalEventID: w.ExternalEventID, IdempotencyKey: valueOf(w.IdempotencyKey),
		SignatureValid: true, RequestHeaders: joinedHeaders(string(w.RequestHeaders)),
		RawPayload: rawPayload(w.RawBody), RawBody: httpapi.OrEmpty(w.RawBody), BodyState: w.BodyState, PossibleReplay: w.PossibleReplay, ReceivedAt: e.ReceivedAt,
	}
	if v.Marks = []mark{}; w.Marks != nil {
		_ = json.Unmarshal([]byte(*w.Marks), &v.Marks) // written by ownMarks
	}
	v.takeID(e)
	if w.SourceIP != "" {
		v.SourceIP = &w.SourceIP
	}
	return v
}

func valueOf(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// takeID restores the webhook's external id from e, if it is e's.
func (v *webhookView) takeID(e eventRow) {
	if cut(v.ExternalEventID) && e.ExternalEventID != nil && *v.ExternalEventID == *e.ExternalEventID {
		v.ExternalEventID = e.shown().ExternalEventID
	}
}

// joinedHeaders joins the values of each header with commas, which RFC 9110 section 5.3
// defines as equivalent.
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
	Status             string         `json:"status" db:"status" api:"enum=pending|processing|processed|retrying|failed"`
	ProcessingAttempts int            `json:"processingAttempts" db:"processing_attempts"`
	LastError          *string        `json:"lastError" db:"last_error"`
	LastProcessedAt    *clock.Time    `json:"lastProcessedAt" db:"last_processed_at"`
	Jobs               []contract.Job `json:"jobs"`
}
