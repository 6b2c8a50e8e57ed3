package contract

import (
	"time"

	"integration-gateway/platform/clock"
)

// SourceTraffic is what arrived at a source lately.
type SourceTraffic struct {
	Source       string
	Received     int64            // webhooks in the last ten minutes, refused ones too
	Refused      map[string]int64 // of them, by reason
	LastAccepted time.Time        // zero: not known
	UsualGap     time.Duration    // between accepted webhooks at this hour of the week; 0: not known

	Destinations map[string]DestinationTraffic // by id, those with attempts
}

// DestinationTraffic are the attempts at a destination in the last ten minutes.
type DestinationTraffic struct {
	Attempts int64
	Failed   map[string]int64 // of them, by kind of error
}

// Gauges is the state of the records at a time.
type Gauges struct {
	At          time.Time          `json:"at"`
	Sources     []string           `json:"sources"`   // active ones, the oldest first, up to a bound
	Jobs        map[string]int64   `json:"jobs"`      // live ones, by state
	OldestDue   map[Queue]float64  `json:"oldestDue"` // seconds that the oldest due job waits
	Unpublished float64            `json:"unpublished"`
	DeadLetters map[string]int64   `json:"deadLetters"` // open ones, by kind
	Quarantined map[string]int64   `json:"quarantined"` // by source
	Breakers    map[string]int     `json:"breakers"`    // by destination, as its source and number: 0 closed, 1 half open, 2 open
	SealLag     float64            `json:"sealLag"`
	Partitions  map[string]float64 `json:"partitions"` // seconds ahead, by table

	Destinations []DestinationGauges `json:"destinations"` // up to a bound
	Check        *CheckSummary       `json:"check"`        // nil before the first
	Spool        SpoolGauges         `json:"spool"`
}

// SpoolGauges is what waits in the spool at the broker for the database.
type SpoolGauges struct {
	Waiting int64   `json:"waiting"` // webhooks
	Parked  int64   `json:"parked"`  // webhooks that the database did not accept
	Oldest  float64 `json:"oldest"`  // seconds that the oldest webhook has waited; 0 if none does
}

// DestinationGauges are what waits for one destination.
type DestinationGauges struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"` // its source and number, such as acme/1
	Source       string     `json:"source"`
	Due          int64      `json:"due"`
	Scheduled    int64      `json:"scheduled"`
	Running      int64      `json:"running"`
	Parked       int64      `json:"parked"`
	ParkedReason string     `json:"parkedReason"`
	OldestDue    float64    `json:"oldestDue"` // seconds
	Breaker      string     `json:"breaker"`   // closed, half_open or open
	BreakerUntil *time.Time `json:"breakerUntil"`
	Paused       bool       `json:"paused"`
	PausedUntil  *time.Time `json:"pausedUntil"` // nil for no end
	DeadLetters  int64      `json:"deadLetters"`
}

// CheckSummary is the result of a consistency check that ran by itself.
type CheckSummary struct {
	StartedAt  clock.Time     `json:"startedAt"`
	FinishedAt clock.Time     `json:"finishedAt"`
	Holds      bool           `json:"holds"`
	Problems   int            `json:"problems"`
	Found      map[string]int `json:"found"` // by check, without those that found nothing
}

// CountedAttempt is an attempt as it is counted, once its outcome is stored.
type CountedAttempt struct {
	Source          string
	DestinationID   string
	DestinationName string // its source and number, such as acme/1
	Outcome         string // delivered, retry, exhausted or refused
	ErrorKind       string // "" if it was delivered
	At              time.Time
	Took            time.Duration
	EndToEnd        time.Duration // from receiving the event to its first delivery; 0 for others
	TraceID         string        // of the event; "" if it is not traced
}
