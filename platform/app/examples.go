package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
)

// The examples are written directly as rows, and audited as event.seeded: no webhook
// arrived, and nothing was delivered. Only the pending one takes the ordinary path and is
// really delivered.

// example is a finished event and its attempts.
type example struct {
	body     string
	status   contract.EventStatus
	attempts []exampleAttempt
}

type exampleAttempt struct {
	status   int
	response string
	after    time.Duration // since the webhook
}

const examplePending = `{"eventId":"evt_example_pending","eventType":"order.created","occurredAt":"2026-01-05T09:00:00Z","data":{"id":"ord_1004","total":"42.50","currency":"EUR"}}`

func examplesOf(source string) []example {
	if source == globex.name {
		return []example{{
			body:   `{"id":"evt_example_retried","type":"invoice.paid","timestamp":"2026-01-05T08:40:00Z","resource":{"id":"inv_2001","amount":129.90}}`,
			status: contract.EventProcessed,
			attempts: []exampleAttempt{
				{http.StatusServiceUnavailable, `{"error":"try again later"}`, time.Second},
				{http.StatusAccepted, `{"success":true}`, 6 * time.Second},
			},
		}}
	}
	return []example{{
		body:     `{"eventId":"evt_example_delivered","eventType":"order.created","occurredAt":"2026-01-05T08:30:00Z","data":{"id":"ord_1001","total":"19.90","currency":"EUR"}}`,
		status:   contract.EventProcessed,
		attempts: []exampleAttempt{{http.StatusAccepted, `{"success":true}`, time.Second}},
	}, {
		body:   `{"eventId":"evt_example_failed","eventType":"order.cancelled","occurredAt":"2026-01-05T08:35:00Z","data":{"id":"ord_1002","simulateFailure":true}}`,
		status: contract.EventFailed,
		attempts: []exampleAttempt{
			{http.StatusInternalServerError, `{"success":false}`, time.Second},
			{http.StatusGone, `{"error":"this endpoint is gone"}`, 6 * time.Second},
		},
	}}
}

// exampleAge is how long ago the examples were received.
const exampleAge = time.Hour

// exampleIDs holds the ids of an example's rows.
type exampleIDs struct {
	source                     demoSource
	integrationID, destination string
	webhookID, eventID         string
	key, correlationID         string
	received                   time.Time
}

func (g *system) seedExamples(ctx context.Context, tx *database.Tx, s demoSource, integrationID, destinationID string) error {
	spec, _ := provider.Builtin().Spec(s.name)
	for _, e := range examplesOf(s.name) {
		p := exampleIDs{source: s, integrationID: integrationID, destination: destinationID, received: tx.Now.Add(-exampleAge).Truncate(time.Millisecond)}
		p.webhookID, p.eventID = id.At(p.received), id.At(p.received)
		events, err := spec.Normalize(provider.Request{Body: []byte(e.body), ReceivedAt: p.received})
		if err != nil {
			return fmt.Errorf("normalize an example: %w", err)
		}
		p.key, p.correlationID = s.name+":"+*events[0].ID, "example-"+*events[0].ID
		free, err := claimExample(ctx, tx, p)
		if err != nil || !free {
			return err
		}
		if err := e.insertEvent(ctx, tx, p, events[0]); err != nil {
			return err
		}
		if err := e.insertHistory(ctx, tx, p, g.queue, events[0].Type); err != nil {
			return err
		}
		details, err := json.Marshal(map[string]any{"source": s.name, "status": e.status, "attempts": len(e.attempts)})
		if err != nil {
			return fmt.Errorf("insert an example: %w", err)
		}
		if err := g.audit.Record(ctx, tx, []contract.AuditEntry{{EntityType: contract.EntityNormalizedEvent, EntityID: &p.eventID,
			Action: "event.seeded", Actor: contract.ActorSeed, Details: details}}); err != nil {
			return err
		}
	}
	return nil
}

const insertExampleKeySQL = `
INSERT INTO idempotency_keys (idempotency_key, event_id)
VALUES ($1, $2)
ON CONFLICT (idempotency_key) DO NOTHING`

// claimExample returns false if an event with that id was received before.
func claimExample(ctx context.Context, tx *database.Tx, p exampleIDs) (bool, error) {
	n, err := tx.Exec(ctx, insertExampleKeySQL, p.key, p.eventID)
	if err != nil {
		return false, fmt.Errorf("claim an example's key: %w", err)
	}
	return n == 1, nil
}

func (e example) insertEvent(ctx context.Context, tx *database.Tx, p exampleIDs, event provider.Event) error {
	webhook := database.NewRows("id uuid", "request_headers bytea", "raw_body bytea", "source_ip text")
	webhook.Add(p.webhookID, []byte(`{"content-type":["application/json"]}`), []byte(e.body), "127.0.0.1")
	if err := tx.Insert(ctx, "webhook_events", webhook); err != nil {
		return err
	}
	normalized := database.NewRows("id uuid", "webhook_event_id uuid", "integration_id uuid", "source text", "provider text",
		"external_event_id text", "event_type text", "subject text", "occurred_at timestamptz", "normalized_payload bytea",
		"correlation_id text", "received_at timestamptz", "created_at timestamptz")
	normalized.Add(p.eventID, p.webhookID, p.integrationID, p.source.name, p.source.name, event.ID, event.Type, event.Subject,
		event.OccurredAt, event.Payload, p.correlationID, p.received, p.received)
	return tx.Insert(ctx, "normalized_events", normalized)
}

func (e example) insertHistory(ctx context.Context, tx *database.Tx, p exampleIDs, queue, eventType string) error {
	jobs := database.NewRows("id uuid", "normalized_event_id uuid", "destination_id uuid", "triggered_by text", "status text",
		"attempt_no bigint", "budget_start bigint", "parked boolean", "started_at timestamptz", "completed_at timestamptz",
		"error_message text", "created_at timestamptz")
	attempts := database.NewRows("id uuid", "normalized_event_id uuid", "destination_id uuid", "job_id uuid",
		"attempt_no bigint", "status text", "http_status bigint", "response_body text", "error_message text",
		"error_kind text", "duration_ms bigint", "created_at timestamptz")
	var last time.Time
	var problem, kind *string
	var lastJob string
	for i, a := range e.attempts {
		at, number, jobID := p.received.Add(a.after), i+1, id.New()
		trigger, jobStatus, result := contract.TriggerWebhook, "succeeded", "success"
		if i > 0 {
			trigger = contract.TriggerRetry
		}
		problem, kind, last, lastJob = nil, nil, at, jobID
		if a.status >= http.StatusMultipleChoices {
			text := fmt.Sprintf("the destination answered HTTP %d", a.status)
			answered := "http_status"
			problem, kind, jobStatus, result = &text, &answered, "failed", "failed"
		}
		jobs.Add(jobID, p.eventID, p.destination, string(trigger), jobStatus, number, 0, false, at, at, problem, at)
		attempts.Add(id.New(), p.eventID, p.destination, jobID, number, result, a.status, a.response, problem, kind, 12, at)
	}
	if err := tx.Insert(ctx, "processing_jobs", jobs); err != nil {
		return err
	}
	if err := tx.Insert(ctx, "delivery_attempts", attempts); err != nil {
		return err
	}
	state := database.NewRows("event_id uuid", "status text", "processing_attempts bigint", "last_error text",
		"last_processed_at timestamptz", "received_at timestamptz", "updated_at timestamptz")
	state.Add(p.eventID, string(e.status), len(e.attempts), problem, last, p.received, last)
	if err := tx.Insert(ctx, "event_states", state); err != nil || e.status != contract.EventFailed {
		return err
	}
	return insertExampleDeadLetter(ctx, tx, p, queue, lastJob, eventType, *problem, len(e.attempts), last)
}

// insertExampleDeadLetter stores a dead letter, as a real failure does, so that operators
// find it in the usual place.
func insertExampleDeadLetter(ctx context.Context, tx *database.Tx, p exampleIDs, queue, jobID, eventType, reason string, attempts int, at time.Time) error {
	letter := database.NewRows("id uuid", "kind text", "queue text", "event_id uuid", "destination_id uuid", "job_id uuid", "source text",
		"provider text", "event_type text", "reason text", "attempts bigint", "status text", "created_at timestamptz")
	letter.Add(id.At(at), "refused", queue, p.eventID, p.destination, jobID, p.source.name, p.source.name, eventType, reason, attempts, "open", at)
	return tx.Insert(ctx, "dead_letters", letter)
}
