package contract

import "time"

// ErasureScan selects the records that an erasure looks at. Empty fields match any.
type ErasureScan struct {
	Sources      []string // names; nil for all
	Subject      string   // of the event, exactly
	ReceivedFrom *time.Time
	ReceivedTo   *time.Time // included
}

// ErasureMark says what an erasure by subject or by value looks for.
type ErasureMark struct {
	ErasureID    string
	Sources      []string // names; nil for all
	Text         string   // the subject or value
	Paths        []string // where the value is; nil for a subject
	ReceivedFrom *time.Time
	ReceivedTo   *time.Time
	OrderedAt    time.Time // it is of what was received until then
}

// ErasureEvent is an event that an erasure may remove.
type ErasureEvent struct {
	EventID    string
	Source     string
	ReceivedAt time.Time
}

// ErasurePage is what was found in a bounded part of the events, in the order of their receipt.
type ErasurePage struct {
	Events     []ErasureEvent // that match, and are not erased
	Looked     int            // events that were looked at
	Unreadable int            // of these, whose content is damaged, so that nobody knows whether they match
	Last       ReplayPosition // of the last event that was looked at
	End        bool           // there are none after it
}

// ErasureRefused is what was found in a bounded part of the quarantine.
type ErasureRefused struct {
	IDs  []string // of the requests that match
	Last string   // the last id that was looked at
	End  bool     // there are none after it
}
