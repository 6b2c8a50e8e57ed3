package contract

import (
	"time"

	"integration-gateway/platform/secret"
)

// ReplayEvents selects the events of a bulk replay. Empty fields match any.
type ReplayEvents struct {
	Integrations []string // ids; nil for all
	Source       string
	EventType    string
	Subject      string // contained, literally, in either case
	Status       string
	ReceivedFrom *time.Time
	ReceivedTo   *time.Time
}

// ReplayPosition is a position among the events in the order of their receipt.
type ReplayPosition struct {
	At      time.Time
	EventID string
}

// ReplayEvent is an event that a bulk replay selects.
type ReplayEvent struct {
	EventID       string
	IntegrationID string
	Source        string
	EventType     string
	Subject       *string
	ReceivedAt    time.Time
}

// At is the event's position.
func (e ReplayEvent) At() ReplayPosition { return ReplayPosition{At: e.ReceivedAt, EventID: e.EventID} }

// ReplayPage is what was found in a bounded part of the events.
type ReplayPage struct {
	Events []ReplayEvent
	Last   ReplayPosition // of the last event that was looked at
	End    bool           // there are none after it
}

// ReplayDeliveries selects the deliveries of events for a bulk replay: pairs of an event and a
// destination. Without conditions it selects every destination that an event went to.
type ReplayDeliveries struct {
	Of                 string // the destination that the conditions are about; "" for each of an event's
	To                 string // where the events are sent; "" for the same destinations
	OnlyFailed         bool   // the last delivery failed
	OnlyNeverDelivered bool   // no attempt succeeded
	DeliveredFrom      *time.Time
	DeliveredTo        *time.Time // an attempt succeeded in this window

	// Once selects events instead, each once, for a place that is no destination: those with a
	// delivery that fulfils the conditions, or all if there are none. To is not used.
	Once bool
}

// What a replay sends.
const (
	PayloadStored       = "stored"       // the canonical form that was made when the event was received
	PayloadRenormalized = "renormalized" // the canonical form by the mapping of now
)

// ReplayTarget is an event and the destination that it is to be sent to.
type ReplayTarget struct {
	EventID       string
	IntegrationID string
	DestinationID string
}

// BulkReplay is what the requests of a bulk replay have in common.
type BulkReplay struct {
	ID           string
	RequestedBy  string
	Reason       string
	Actor        string
	ToURL        bool // they go to the replay's own URL
	Renormalized bool // they send the canonical form by the mapping of now
}

// ReplayCancel names a request whose waiting deliveries are to end.
type ReplayCancel struct {
	RequestID string
	EventID   string
}

// Renormalized is the canonical form of an event by its source's mapping of now.
type Renormalized struct {
	EventID   string
	EventType string
	Stored    []byte // its canonical form as it was made when it was received
	Payload   []byte // by the mapping of now; nil if there is a Problem
	Problem   error  // why there is none; fault.Unavailable or fault.NotFound if that may pass
}

// SendOnce asks delivery for one attempt to send an event to a URL that is no destination.
type SendOnce struct {
	EventID      string
	URL          string
	Secret       secret.Value // signs the request
	Renormalized bool         // send the canonical form by the mapping of now
	Attempt      int          // of its budget, from 1
}

// SentOnce is the result of such an attempt.
type SentOnce struct {
	Received  bool
	Final     bool          // there is no use in another attempt, or the budget is used up
	Wait      time.Duration // before the next attempt, where there is one
	Status    int           // the HTTP status; 0 without an answer
	ErrorKind *string       // nil if it was received, as the next
	Error     *string
}
