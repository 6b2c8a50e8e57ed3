package figures

import (
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// Stats is the answer of GET /stats.
type Stats struct {
	At           clock.Time         `json:"at"`
	Since        Windows            `json:"since"`      // when the windows begin; they end at `at`
	MeasuredAt   *clock.Time        `json:"measuredAt"` // the time of every `now`; null before the first measurement
	Sources      []SourceStats      `json:"sources"`
	Destinations []DestinationStats `json:"destinations"`
	Gateway      *GatewayStats      `json:"gateway"` // null for a credential that is restricted to sources
}

// Windows are the beginnings of the windows, at full minutes; the last one's at a full hour.
type Windows struct {
	FiveMinutes clock.Time `json:"5m"`
	Hour        clock.Time `json:"1h"`
	Day         clock.Time `json:"24h"`
	Week        clock.Time `json:"7d"`
}

// SourceStats are the figures of one source.
type SourceStats struct {
	Source string     `json:"source" api:"plain"`
	Over   SourceOver `json:"over"`
	Now    SourceNow  `json:"now"`
}

// SourceOver are a source's figures by window.
type SourceOver struct {
	FiveMinutes Figures `json:"5m"`
	Hour        Figures `json:"1h"`
	Day         Figures `json:"24h"`
	Week        Figures `json:"7d"`
}

// Figures are what happened to a source's webhooks, and to its deliveries.
type Figures struct {
	Accepted   int64            `json:"accepted"`
	Duplicate  int64            `json:"duplicate"`
	Handshakes int64            `json:"handshakes"`
	Refused    int64            `json:"refused"` // the sender's fault
	RefusedBy  map[string]int64 `json:"refusedBy"`
	Failed     int64            `json:"failed"` // ours: answered with 5xx
	Deliveries
}

// Deliveries are what happened to deliveries.
type Deliveries struct {
	Delivered      int64            `json:"delivered"`
	FailedAttempts int64            `json:"failedAttempts"`
	FailedBy       map[string]int64 `json:"failedBy"` // by kind of error
	Attempts       Quantiles        `json:"attempts"` // durations
	EndToEnd       Quantiles        `json:"endToEnd"` // from receipt to delivery, replays aside
}

// SourceNow is what of a source waits now. The numbers are exact up to 100,000 in all.
type SourceNow struct {
	Waiting     int64   `json:"waiting"` // live jobs that are neither parked nor running
	Due         int64   `json:"due"`     // of these, those that are due
	OldestDue   float64 `json:"oldestDueSeconds"`
	Running     int64   `json:"running"`
	Parked      int64   `json:"parked"`
	DeadLetters int64   `json:"deadLetters"`
	Quarantine  int64   `json:"quarantine"`
	Breakers    int     `json:"openBreakers"` // destinations whose breaker is not closed
}

// DestinationStats are the figures of one destination. Its name is its source's with its
// number, as in the metrics; empty if it is removed.
type DestinationStats struct {
	DestinationID string          `json:"destinationId"`
	Name          string          `json:"name"`
	Source        string          `json:"source" api:"plain"`
	Over          DestinationOver `json:"over"`
	Now           DestinationNow  `json:"now"`
}

// DestinationOver are a destination's figures by window.
type DestinationOver struct {
	FiveMinutes Deliveries `json:"5m"`
	Hour        Deliveries `json:"1h"`
	Day         Deliveries `json:"24h"`
	Week        Deliveries `json:"7d"`
}

// DestinationNow is what of a destination waits now.
type DestinationNow struct {
	Waiting      int64       `json:"waiting"`
	Due          int64       `json:"due"`
	OldestDue    float64     `json:"oldestDueSeconds"`
	Running      int64       `json:"running"`
	Parked       int64       `json:"parked"`
	ParkedReason *string     `json:"parkedReason" api:"enum=source_inactive|destination_inactive|removed|breaker_open|resuming"` // null if none is parked
	Breaker      string      `json:"breaker" api:"enum=closed|half_open|open"`
	BreakerUntil *clock.Time `json:"breakerUntil"` // when it is tried again
	Paused       bool        `json:"paused"`
	PausedUntil  *clock.Time `json:"pausedUntil"` // then it is resumed by itself; null for no end
	DeadLetters  int64       `json:"deadLetters"`
}

// GatewayStats are the figures of the whole gateway.
type GatewayStats struct {
	Rates      Rates                  `json:"rates"`
	Over       SourceOver             `json:"over"`
	Now        SourceNow              `json:"now"`
	OutboxLag  float64                `json:"outboxLagSeconds"` // how long the oldest due job waits to be published
	Spool      Spool                  `json:"spool"`
	SealLag    float64                `json:"sealLagSeconds"`          // age of the oldest audit entry without a seal
	Partitions map[string]float64     `json:"partitionHorizonSeconds"` // by table; empty on SQLite
	Disk       *Disk                  `json:"disk"`                    // null if it could not be measured
	Check      *contract.CheckSummary `json:"consistencyCheck"`        // the last one that ran by itself
}

// Spool is what waits at the broker for the database.
type Spool struct {
	Waiting int64   `json:"waiting"`       // webhooks that were accepted while the database was away
	Parked  int64   `json:"parked"`        // those that the database did not accept
	Oldest  float64 `json:"oldestSeconds"` // how long the oldest that waits has waited; 0 if none does
}

// Rates are per second, over the window of five minutes.
type Rates struct {
	Accepted  float64 `json:"acceptedPerSecond"`
	Refused   float64 `json:"refusedPerSecond"`
	Delivered float64 `json:"deliveredPerSecond"`
}

// Disk is what the database takes, at most an hour ago.
type Disk struct {
	MeasuredAt clock.Time   `json:"measuredAt"`
	Bytes      int64        `json:"bytes"`
	Tables     []TableDisk  `json:"tables"`  // the largest first, with indexes and partitions
	Sources    []SourceDisk `json:"sources"` // estimates: the events' tables by each source's share of the webhooks of seven days
}

// TableDisk is what one table takes.
type TableDisk struct {
	Table string `json:"table" api:"plain"`
	Bytes int64  `json:"bytes"`
}

// SourceDisk is an estimate of what one source's events take.
type SourceDisk struct {
	Source string `json:"source" api:"plain"`
	Bytes  int64  `json:"bytes"`
}

// Series is the answer of GET /stats/series.
type Series struct {
	From   clock.Time `json:"from"`
	To     clock.Time `json:"to"`
	Step   string     `json:"step"` // as the parameter is written
	Points []Point    `json:"points"`
}

// Point is one step of a series. Steps in which nothing happened are there too.
type Point struct {
	At             clock.Time `json:"at"` // its beginning
	Accepted       int64      `json:"accepted"`
	Duplicate      int64      `json:"duplicate"`
	Refused        int64      `json:"refused"`
	Failed         int64      `json:"failed"`
	Delivered      int64      `json:"delivered"`
	FailedAttempts int64      `json:"failedAttempts"`
	Attempts       Quantiles  `json:"attempts"`
	EndToEnd       Quantiles  `json:"endToEnd"`
}

func (s *sum) figures() Figures {
	return Figures{Accepted: s.accepted, Duplicate: s.duplicate, Handshakes: s.handshakes, Refused: total(s.refused), RefusedBy: s.refused,
		Failed: s.failed, Deliveries: s.deliveries()}
}

func (s *sum) deliveries() Deliveries {
	return Deliveries{s.delivered, total(s.errors), s.errors, s.attempts.quantiles(), s.endToEnd.quantiles()}
}

func (s *sum) point(at clock.Time) Point {
	return Point{at, s.accepted, s.duplicate, total(s.refused), s.failed, s.delivered, total(s.errors), s.attempts.quantiles(), s.endToEnd.quantiles()}
}
