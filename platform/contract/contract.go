// Package contract is the plain data that crosses modules. It has no behaviour.
package contract

import (
	"encoding/json"
	"time"

	"integration-gateway/platform/clock"
)

// Queue names the role of a queue; configuration gives the broker's own name.
type Queue string

// The queues that hold jobs. Retries wait in the broker's retry ladder and come
// back through the process queue.
const (
	ProcessQueue Queue = "process"
	ReplayQueue  Queue = "replay"
)

// Trigger says why a job exists.
type Trigger string

// The triggers of a job.
const (
	TriggerWebhook Trigger = "webhook"
	TriggerRetry   Trigger = "retry"
	TriggerReplay  Trigger = "replay"
)

// JobRef names a job. The event's id comes first because an event's rows lie
// together.
type JobRef struct {
	EventID string `json:"e"`
	JobID   string `json:"j"`
}

// EventStatus is where an event stands, derived from its destinations' jobs.
type EventStatus string

// The statuses of an event.
const (
	EventPending    EventStatus = "pending"
	EventProcessing EventStatus = "processing"
	EventProcessed  EventStatus = "processed"
	EventRetrying   EventStatus = "retrying"
	EventFailed     EventStatus = "failed"
)

// EventState is what changes about an event while it is worked on.
type EventState struct {
	EventID            string
	Status             EventStatus
	ProcessingAttempts int
	LastError          *string
	LastProcessedAt    *time.Time
	UpdatedAt          time.Time
	Erased             bool // its payload is gone for good; SaveStates leaves this as it is
}

// Deliverable is what delivery needs of an event in order to send it.
type Deliverable struct {
	EventID       string
	IntegrationID string
	Source        string
	Provider      string
	EventType     string
	CorrelationID string
	Payload       []byte // the canonical event as JSON, exactly as it is sent
	Active        bool   // whether its integration is
}

// Original is the webhook that an event came with.
type Original struct {
	EventID string
	Headers []byte // as they are stored: a JSON object of arrays, credentials redacted
	Body    []byte // byte for byte, unless it is

	Redacted bool // without what its integration redacted when it came
}

// NewEvent asks delivery to schedule a freshly stored event. What filters may ask of it is
// handed over as it is stored, for delivery to read where there is a filter.
type NewEvent struct {
	EventID       string
	IntegrationID string
	CorrelationID string
	Source        string
	Provider      string
	EventType     string
	Subject       *string
	Payload       []byte // the canonical event as JSON
	Headers       []byte // of the webhook, as they are stored: a JSON object of arrays
}

// Scheduled says what became of a NewEvent: its jobs, or none and the reason.
type Scheduled struct {
	EventID string
	Jobs    []JobRef
	Reason  string       // set when there is nobody to deliver to
	Filters []FilterNote // what destinations' filters said, but for a plain yes
}

// FilterNote is what a destination's filter said of an event.
type FilterNote struct {
	DestinationID string `json:"destinationId"`
	Delivered     bool   `json:"delivered"`
	Reason        string `json:"reason"`
}

// ReplayOrder asks delivery to send an event again.
type ReplayOrder struct {
	RequestID     string
	EventID       string
	DestinationID *string // one destination; nil for all active ones
	OnlyFailed    bool    // only destinations whose last job failed
}

// ReplayAsk asks replay for a request to send an event to one of its destinations
// again.
type ReplayAsk struct {
	EventID       string
	DestinationID string
	RequestedBy   string // 2 to 120 characters
	Reason        string // 5 to 500 characters
	Actor         string // the credential that was used
}

// Subject says whose events are meant.
type Subject struct {
	Text   string // exactly
	Source string // "" for all
}

// Forgotten counts what an erasure removed, or would.
type Forgotten struct {
	Events      int `json:"events"`
	Webhooks    int `json:"webhooks"`   // their bodies and headers
	Others      int `json:"others"`     // events of others in these webhooks, which lose the original body
	Deliveries  int `json:"deliveries"` // that were ended
	Answers     int `json:"answers"`    // of destinations
	DeadLetters int `json:"deadLetters"`
	Quarantined int `json:"quarantined"` // refused requests
}

// Damage is a place where the books do not hold and something can be put back.
type Damage struct {
	Kind            DamageKind
	EventID         string
	DestinationID   string // of DamageMissingJob
	JobID           string // of DamageLease and DamageStranded
	ReplayRequestID string // of DamageReplay
}

// DamageKind names what is wrong, as `gateway verify` shows it.
type DamageKind string

// The kinds of damage.
const (
	DamageMissingJob DamageKind = "missing_job"        // an open destination of the event has no live job
	DamageStatus     DamageKind = "wrong_status"       // the event's status is not what its jobs say
	DamageLease      DamageKind = "lease_ran_out"      // the job is running past its lease
	DamageStranded   DamageKind = "stranded_job"       // the job is queued and nothing will move it
	DamageReplay     DamageKind = "replay_without_end" // the request has neither an end nor a live job
)

// ReplayEnd tells replay that the last of a request's jobs has ended.
type ReplayEnd struct {
	RequestID string
	EventID   string
	Failed    bool
	Error     *string
}

// AuditEntry is one thing that happened. EntityID may be nil.
type AuditEntry struct {
	EntityType string
	EntityID   *string
	Action     string
	Actor      string
	Details    json.RawMessage // an object
}

// Refusal is a request that was turned away; refusals are audited in sum.
type Refusal struct {
	Action     string // webhook.rejected or auth.failed
	EntityType string
	Source     string // the integration's source, or what was asked for in general terms
	Reason     string
}

// Actors of audit entries that are no management credential.
const (
	ActorGateway = "gateway"
	ActorCLI     = "gateway-cli" // whoever may run the program on the database
	ActorSeed    = "seed"
)

// Entity types of audit entries.
const (
	EntityWebhookEvent    = "webhook_event"
	EntityNormalizedEvent = "normalized_event"
	EntityDestination     = "destination"
	EntityDeadLetter      = "dead_letter"
	EntityManagement      = "management_api"
	EntityRecords         = "records"
)

// Attempt is one outbound attempt, as it is stored and shown.
type Attempt struct {
	ID                string     `db:"id" json:"id"`
	NormalizedEventID string     `db:"normalized_event_id" json:"normalizedEventId"`
	IntegrationID     string     `db:"integration_id" json:"integrationId"`
	DestinationID     string     `db:"destination_id" json:"destinationId"`
	AttemptNo         int        `db:"attempt_no" json:"attemptNo"`
	Status            string     `db:"status" json:"status"`
	HTTPStatus        *int       `db:"http_status" json:"httpStatus"`
	ResponseBody      *string    `db:"response_body" json:"responseBody"`
	ErrorMessage      *string    `db:"error_message" json:"errorMessage"`
	ErrorKind         *string    `db:"error_kind" json:"errorKind"` // a word that does not change; null when it was received
	Refusal           *string    `db:"refusal" json:"refusal"`      // with the kind egress_refused: what the address is
	DurationMS        int        `db:"duration_ms" json:"durationMs"`
	CreatedAt         clock.Time `db:"created_at" json:"createdAt"`
}

// Job is one scheduled execution, as it is shown.
type Job struct {
	ID                string      `db:"id" json:"id"`
	NormalizedEventID string      `db:"normalized_event_id" json:"normalizedEventId"`
	DestinationID     *string     `db:"destination_id" json:"destinationId"`
	QueueName         string      `db:"queue_name" json:"queueName"`
	TriggeredBy       Trigger     `db:"triggered_by" json:"triggeredBy"`
	Status            string      `db:"status" json:"status"`
	AttemptNo         int         `db:"attempt_no" json:"attemptNo"`
	ScheduledAt       clock.Time  `db:"scheduled_at" json:"scheduledAt"`
	StartedAt         *clock.Time `db:"started_at" json:"startedAt"`
	CompletedAt       *clock.Time `db:"completed_at" json:"completedAt"`
	ErrorMessage      *string     `db:"error_message" json:"errorMessage"`
	CreatedAt         clock.Time  `db:"created_at" json:"createdAt"`
}

// SealedRow is what one row keeps sealed.
type SealedRow struct {
	ID    string
	Of    string    // what it belongs to, for people
	InUse bool      // webhooks are taken in or events delivered with it
	Texts []*string // a column each, in an order of the owner's; nil where it keeps nothing
}

// Resealed is a row whose sealed texts are to be replaced, if they still are as before.
type Resealed struct {
	ID            string
	Before, After []*string
}
