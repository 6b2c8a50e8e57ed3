package verify

import (
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// Report is what the books say.
type Report struct {
	Holds       bool                     `json:"holds"` // nothing is wrong, or all of it was repaired
	CheckedAt   clock.Time               `json:"checkedAt"`
	GraceMS     int64                    `json:"graceMs"`
	Sources     []Source                 `json:"sources"` // by name
	Total       Source                   `json:"total"`
	DeadLetters map[string]DeadCount     `json:"deadLetters"` // by kind
	Queues      map[string]*int          `json:"queues"`      // messages ready, by role; null when the broker does not say; empty without one
	Checks      map[string]*CheckOutcome `json:"checks"`      // every check by its name
}

// Source is the books of one source, or of all.
type Source struct {
	Name     string         `json:"source"`
	Events   map[string]int `json:"events"` // by status
	Jobs     map[string]int `json:"jobs"`   // by status, and the parked ones, which are queued as well
	Problems int            `json:"problems"`
	Repaired int            `json:"repaired"`
}

// DeadCount is the number of dead letters of one kind.
type DeadCount struct {
	Open     int `json:"open"`
	Requeued int `json:"requeued"`
	Resolved int `json:"resolved"`
}

// CheckOutcome is what one check found.
type CheckOutcome struct {
	Promise  string    `json:"promise"` // what the check proves or refutes
	Found    int       `json:"found"`
	Repaired int       `json:"repaired"`
	Problems []Problem `json:"problems"` // the first ones
}

// Problem is a place where a check fails. Ids that it has none of are empty.
type Problem struct {
	Source          string `json:"source"`
	EventID         string `json:"eventId,omitempty"`
	DestinationID   string `json:"destinationId,omitempty"`
	JobID           string `json:"jobId,omitempty"`
	ReplayRequestID string `json:"replayRequestId,omitempty"`
	IdempotencyKey  string `json:"idempotencyKey,omitempty"`
	Detail          string `json:"detail,omitempty"`
	Repaired        bool   `json:"repaired"`
	RepairError     string `json:"repairError,omitempty"`
}

// The checks that find what cannot be put back. The others are named as the damage is.
const (
	missingState   = "missing_state"
	missingWebhook = "missing_webhook"
	severalJobs    = "several_live_jobs"
	attemptGap     = "attempt_gap"
	lostKey        = "key_without_event"
)

// promises says of every check what it proves, in the order in which they are shown.
func promises() []struct{ Name, Promise string } {
	return []struct{ Name, Promise string }{
		{missingState, "every event has a state"},
		{missingWebhook, "every event has the webhook that it came with"},
		{lostKey, "every idempotency key's event exists"},
		{string(contract.DamageMissingJob), "every open destination of an event has a live job"},
		{severalJobs, "no destination of an event has more than one live job"},
		{string(contract.DamageStatus), "every event's status is what its jobs say"},
		{string(contract.DamageLease), "no job is running past its lease"},
		{string(contract.DamageStranded), "every queued job that is not parked has something that will move it"},
		{string(contract.DamageReplay), "every replay request has an end or a live job"},
		{attemptGap, "attempts are numbered without gaps"},
	}
}

// CheckNames gives the names of all checks, in the order in which they are shown.
func CheckNames() []string {
	var names []string
	for _, p := range promises() {
		names = append(names, p.Name)
	}
	return names
}

// Found is the number of problems, repaired or not.
func (r Report) Found() int { return r.Total.Problems }

// Left is the number of problems that were not repaired.
func (r Report) Left() int { return r.Total.Problems - r.Total.Repaired }
