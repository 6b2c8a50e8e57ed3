// Package contract holds the plain data that crosses modules. It has no behaviour.
package contract

import (
	"encoding/json"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/secret"
)

// Queue names the role of a queue; the configuration maps it to the broker's name.
type Queue string

// The queues that hold jobs. Retries wait in the broker's delay queues and return through
// the process queue.
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

// JobRef identifies a job. The event's id is part of it because jobs are partitioned by
// event.
type JobRef struct {
	EventID string `json:"e"`
	JobID   string `json:"j"`
}

// EventStatus is the status of an event, derived from its destinations' jobs.
type EventStatus string

// The statuses of an event.
const (
	EventPending    EventStatus = "pending"
	EventProcessing EventStatus = "processing"
	EventProcessed  EventStatus = "processed"
	EventRetrying   EventStatus = "retrying"
	EventFailed     EventStatus = "failed"
)

// EventState is the part of an event that changes during processing.
type EventState struct {
	EventID            string
	Status             EventStatus
	ProcessingAttempts int
	LastError          *string
	LastProcessedAt    *time.Time
	UpdatedAt          time.Time
	Erased             bool // its payload was erased for good; SaveStates does not change this
}

// Deliverable is what delivery needs to send an event.
type Deliverable struct {
	EventID       string
	IntegrationID string
	Source        string
	Provider      string
	EventType     string
	CorrelationID string
	Hops          int    // gateways that its webhook has already passed through
	Payload       []byte // the canonical event as JSON, exactly as it is sent
	Active        bool   // whether its integration is active

	// IdempotencyKey is the same if the provider's webhook is sent again, even to a
	// database that has lost the event, and differs for any other event; "" if there is
	// none.
	IdempotencyKey string

	// Unreadable says why Payload is nil: what is stored of it is damaged.
	Unreadable error
	// Deferred says that Payload was not read: the payloads of the events read with it took the
	// memory of one read. It is there to be read again.
	Deferred bool
}

// HopsHeader counts the gateways that a request has passed through, so that a loop between
// a destination and a source ends.
const HopsHeader = "X-Gateway-Hops"

// Original is the webhook of an event.
type Original struct {
	EventID string
	Headers []byte // as stored: a JSON object of arrays, credentials redacted
	Body    []byte // byte for byte, unless redacted

	Redacted bool // the integration redacted parts of it on arrival

	// Unreadable says why Headers and Body are nil: what is stored of them is damaged.
	Unreadable error
	// Deferred says that Body was not read, as in Deliverable.
	Deferred bool
}

// NewEvent asks delivery to schedule a newly stored event. The fields that filters may use
// are passed as stored; delivery parses them only if there is a filter.
type NewEvent struct {
	EventID       string
	IntegrationID string
	CorrelationID string
	Source        string
	Provider      string
	EventType     string
	Subject       *string
	Payload       []byte // the canonical event as JSON
	Headers       []byte // of the webhook, as stored: a JSON object of arrays

	Answers []FilterAnswer // of the destinations' filters, evaluated before the event is stored
}

// FilterAnswer is the result of a destination's filter, in its version at that time, for an
// event.
type FilterAnswer struct {
	DestinationID string
	Filter        string
	Wanted        bool
	Reason        string // empty for a plain yes
}

// Scheduled is the result of a NewEvent: its jobs, or no jobs and the reason.
type Scheduled struct {
	EventID string
	Jobs    []JobRef
	Reason  string       // set if there is no destination to deliver to
	Filters []FilterNote // results of destinations' filters, except for a plain yes
}

// FilterNote is the result of a destination's filter for an event.
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

// ReplayRequest asks replay to send an event to one of its destinations again.
type ReplayRequest struct {
	EventID       string
	DestinationID string
	RequestedBy   string // 2 to 120 characters
	Reason        string // 5 to 500 characters
	Actor         string // the credential that was used
}

// ErasureCounts counts what an erasure removed, or would remove.
type ErasureCounts struct {
	Events      int `json:"events"`
	Webhooks    int `json:"webhooks"`   // their bodies and headers
	Others      int `json:"others"`     // other events in these webhooks; they lose the original body
	Deliveries  int `json:"deliveries"` // ended deliveries
	Answers     int `json:"answers"`    // stored responses of destinations
	DeadLetters int `json:"deadLetters"`
	Quarantined int `json:"quarantined"` // refused requests
}

// Damage is an inconsistency in the records that can be repaired.
type Damage struct {
	Kind            DamageKind
	EventID         string
	DestinationID   string // of DamageMissingJob
	JobID           string // of DamageLease, DamageStranded and DamageDestination
	ReplayRequestID string // of DamageReplay
	RewindID        string // of DamageRewind
}

// DamageKind names what is wrong, as `gateway verify` shows it.
type DamageKind string

// The kinds of damage.
const (
	DamageMissingJob DamageKind = "missing_job"   // an open destination of the event has no live job
	DamageStatus     DamageKind = "wrong_status"  // the event's status does not match its jobs
	DamageLease      DamageKind = "lease_ran_out" // the job is running past its lease
	DamageStranded   DamageKind = "stranded_job"  // the job is queued, but neither published nor due for the relay
	// The job is parked for a destination whose row is gone, so that nothing ever releases it.
	DamageDestination DamageKind = "unknown_destination"
	DamageReplay      DamageKind = "replay_without_end" // the request is unfinished and has no live job
	DamageRewind      DamageKind = "database_rewound"   // the database has lost commits; to be acknowledged
)

// ReplayEnd tells replay that the last of a request's jobs has ended.
type ReplayEnd struct {
	RequestID string
	EventID   string
	Failed    bool
	Error     *string
}

// AuditEntry is one audited action. EntityID may be nil.
type AuditEntry struct {
	EntityType string
	EntityID   *string
	Action     string
	Actor      string
	Details    json.RawMessage // an object
}

// Refusal is a refused request. Refusals are audited as counts.
type Refusal struct {
	Action     string // webhook.rejected or auth.failed
	EntityType string
	Source     string // the integration's source, or a general name of what was requested
	Reason     string
}

// Actors of audit entries that are not management credentials.
const (
	ActorGateway = "gateway"
	ActorCLI     = "gateway-cli" // anyone who can run the program with access to the database
	ActorSeed    = "seed"
)

// Entity types of audit entries.
const (
	EntityWebhookEvent    = "webhook_event"
	EntityNormalizedEvent = "normalized_event"
	EntityDestination     = "destination"
	EntityDeadLetter      = "dead_letter"
	EntityManagement      = "management_api"
	EntityDatabase        = "database"
	EntityAlert           = "alert"
	EntityRecords         = "records"
	EntityReplay          = "replay"
)

// Attempt is one outbound attempt, as the API shows it.
type Attempt struct {
	ID                string     `json:"id"`
	NormalizedEventID string     `json:"normalizedEventId"`
	IntegrationID     string     `json:"integrationId"`
	DestinationID     string     `json:"destinationId"`
	AttemptNo         int        `json:"attemptNo"`
	Status            string     `json:"status" api:"enum=success|failed"`
	HTTPStatus        *int       `json:"httpStatus"`
	ResponseBody      *string    `json:"responseBody"`
	ErrorMessage      *string    `json:"errorMessage"`
	ErrorKind         *string    `json:"errorKind"` // a stable identifier; null if the delivery succeeded
	Refusal           *string    `json:"refusal"`   // with kind egress_refused: the category of the address
	DurationMS        int        `json:"durationMs"`
	CreatedAt         clock.Time `json:"createdAt"`
}

// Job is one scheduled execution, as the API shows it.
type Job struct {
	ID                string      `json:"id"`
	NormalizedEventID string      `json:"normalizedEventId"`
	DestinationID     *string     `json:"destinationId"`
	QueueName         string      `json:"queueName"`
	TriggeredBy       Trigger     `json:"triggeredBy" api:"enum=webhook|retry|replay"`
	Status            string      `json:"status" api:"enum=queued|running|succeeded|failed"`
	AttemptNo         int         `json:"attemptNo"`
	ScheduledAt       clock.Time  `json:"scheduledAt"`
	StartedAt         *clock.Time `json:"startedAt"`
	CompletedAt       *clock.Time `json:"completedAt"`
	ErrorMessage      *string     `json:"errorMessage"`
	CreatedAt         clock.Time  `json:"createdAt"`
}

// SealedRow holds the sealed texts of one row.
type SealedRow struct {
	ID    string
	Of    string    // its owner, for people
	InUse bool      // accepting webhooks or delivering events needs it
	Texts []*string // one per column, in the owner's order; nil for an empty column
	// Places are where the texts are stored, in the same order.
	Places []secret.Place
}

// Resealed is a row whose sealed texts are to be replaced, provided they are unchanged.
type Resealed struct {
	ID            string
	Before, After []*string
}
