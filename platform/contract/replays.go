package contract

import "time"

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
}

// ReplayTarget is an event and the destination that it is to be sent to.
type ReplayTarget struct {
	EventID       string
	IntegrationID string
	DestinationID string
}

// BulkReplay is what the requests of a bulk replay have in common.
type BulkReplay struct {
	ID          string
	RequestedBy string
	Reason      string
	Actor       string
}

// ReplayCancel names a request whose waiting deliveries are to end.
type ReplayCancel struct {
	RequestID string
	EventID   string
}
