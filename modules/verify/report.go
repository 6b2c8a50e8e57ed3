package verify

import (
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// Report is the result of a consistency check.
type Report struct {
	Holds       bool                     `json:"holds"` // no problem was found, or all were repaired
	CheckedAt   clock.Time               `json:"checkedAt"`
	GraceMS     int64                    `json:"graceMs"`
	Sources     []Source                 `json:"sources"` // by name
	Total       Source                   `json:"total"`
	DeadLetters map[string]DeadCount     `json:"deadLetters"` // by kind
	Queues      map[string]*int          `json:"queues"`      // ready messages, by role; null if the broker did not answer; empty without a broker
	Checks      map[string]*CheckOutcome `json:"checks"`      // every check by its name
}

// Source holds the counts of one source, or of all.
type Source struct {
	Name     string         `json:"source"`
	Events   map[string]int `json:"events"`   // by status
	Examples int            `json:"examples"` // of these, the finished events of gateway seed, which no webhook brought
	Jobs     map[string]int `json:"jobs"`     // by status; the parked ones are also counted as queued
	Problems int            `json:"problems"`
	Repaired int            `json:"repaired"`
}

// DeadCount is the number of dead letters of one kind, by status.
type DeadCount struct {
	Open     int `json:"open"`
	Requeued int `json:"requeued"`
	Resolved int `json:"resolved"`
}

// CheckOutcome is the result of one check.
type CheckOutcome struct {
	Promise  string    `json:"promise"` // what the check verifies
	Found    int       `json:"found"`
	Repaired int       `json:"repaired"`
	Problems []Problem `json:"problems"` // the first ones
}

// Problem is a place where a check fails. Ids that do not apply are empty.
type Problem struct {
	Source          string `json:"source"`
	EventID         string `json:"eventId,omitempty"`
	DestinationID   string `json:"destinationId,omitempty"`
	JobID           string `json:"jobId,omitempty"`
	ReplayRequestID string `json:"replayRequestId,omitempty"`
	IdempotencyKey  string `json:"idempotencyKey,omitempty"`
	RewindID        string `json:"rewindId,omitempty"`
	Detail          string `json:"detail,omitempty"`
	Repaired        bool   `json:"repaired"`
	RepairError     string `json:"repairError,omitempty"`
}

// The checks whose findings cannot be repaired. The others are named after their damage.
const (
	missingState   = "missing_state"
	missingWebhook = "missing_webhook"
	severalJobs    = "several_live_jobs"
	attemptGap     = "attempt_gap"
	lostKey        = "key_without_event"
)

// promises lists what every check verifies, in display order.
func promises() []struct{ Name, Promise string } {
	return []struct{ Name, Promise string }{
		{missingState, "every event has a state"},
		{missingWebhook, "every event has its webhook"},
		{lostKey, "every idempotency key's event exists"},
		{string(contract.DamageMissingJob), "every open destination of an event has a live job"},
		{severalJobs, "no destination of an event has more than one live job"},
		{string(contract.DamageStatus), "every event's status matches its jobs"},
		{string(contract.DamageLease), "no job is running past its lease"},
		{string(contract.DamageStranded), "every queued job that is not parked is published or due for the relay"},
		{string(contract.DamageDestination), "every parked job's destination exists"},
		{string(contract.DamageReplay), "every replay request is finished or has a live job"},
		{attemptGap, "attempts are numbered without gaps"},
		{string(contract.DamageRewind), "the database has not lost commits"},
	}
}

// CheckNames returns the names of all checks, in display order.
func CheckNames() []string {
	var names []string
	for _, p := range promises() {
		names = append(names, p.Name)
	}
	return names
}

// Found returns the number of problems, repaired or not.
func (r Report) Found() int { return r.Total.Problems }

// Remaining returns the number of problems that were not repaired.
func (r Report) Remaining() int { return r.Total.Problems - r.Total.Repaired }
