package alerts

import (
	"fmt"
	"slices"
	"time"

	"integration-gateway/platform/contract"
)

// Thresholds say when a condition holds.
type Thresholds struct {
	JobAge         time.Duration // of the oldest due job
	OutboxAge      time.Duration // of the oldest due job without a message
	SealLag        time.Duration
	Partitions     time.Duration // ahead
	DeadLetters    int64         // open ones of a kind
	Quarantine     int64         // requests of a source
	RefusedPercent int           // of a source's webhooks in ten minutes
	RefusedLeast   int64         // webhooks in ten minutes before their share counts
	SilentFactor   float64       // times a source's usual gap
}

// Severities. A page is for now, a ticket for the day.
const (
	page   = "page"
	ticket = "ticket"
)

// finding is a condition that holds for a subject.
type finding struct {
	condition, subject string
	severity, summary  string
	value              float64
	hold               time.Duration // how long it must hold before the alert opens
}

// conditions are the names of all conditions, for the API.
var conditions = []string{"jobs_overdue", "outbox_behind", "destination_down", "dead_letters", "quarantine", "webhooks_refused",
	"source_silent", "seals_behind", "partitions_end", "books", "test"}

// findings returns the conditions that hold.
func (t Thresholds) findings(g contract.Gauges, traffic []contract.SourceTraffic, now time.Time) []finding {
	var found []finding
	add := func(holds bool, f finding) {
		if holds {
			found = append(found, f)
		}
	}
	for queue, age := range g.OldestDue {
		add(age > t.JobAge.Seconds(), finding{"jobs_overdue", string(queue), page,
			fmt.Sprintf("The oldest due job of the %s queue has waited for %s.", queue, rounded(age)), age, time.Minute})
	}
	add(g.Unpublished > t.OutboxAge.Seconds(), finding{"outbox_behind", "", page,
		fmt.Sprintf("Accepted events have not been published to the broker for %s.", rounded(g.Unpublished)), g.Unpublished, time.Minute})
	for destination, state := range g.Breakers {
		add(state > 0, finding{"destination_down", destination, ticket,
			fmt.Sprintf("Destination %s does not answer as it should; its circuit breaker is open.", destination), float64(state), 5 * time.Minute})
	}
	for kind, n := range g.DeadLetters {
		add(n >= t.DeadLetters, finding{"dead_letters", kind, ticket, fmt.Sprintf("Open dead letters of the kind %s: %d.", kind, n), float64(n), 0})
	}
	for source, n := range g.Quarantined {
		add(n >= t.Quarantine, finding{"quarantine", source, ticket, fmt.Sprintf("Refused requests of %s in quarantine: %d.", source, n), float64(n), 0})
	}
	add(g.SealLag > t.SealLag.Seconds(), finding{"seals_behind", "", ticket,
		fmt.Sprintf("Audit entries have not been sealed for %s.", rounded(g.SealLag)), g.SealLag, time.Minute})
	for table, ahead := range g.Partitions {
		add(ahead < t.Partitions.Seconds(), finding{"partitions_end", table, page,
			fmt.Sprintf("%s has partitions for %s; then webhooks are refused.", table, rounded(ahead)), ahead, 0})
	}
	add(g.Check != nil && !g.Check.Holds, finding{condition: "books", severity: page,
		summary: "The last consistency check found that records do not fit together: run gateway verify."})
	for _, s := range traffic {
		found = append(found, t.ofSource(s, now)...)
	}
	slices.SortFunc(found, func(a, b finding) int { return compareKeys(a.key(), b.key()) })
	return found
}

// ofSource returns the conditions of one source's traffic.
func (t Thresholds) ofSource(s contract.SourceTraffic, now time.Time) (found []finding) {
	if s.Received >= t.RefusedLeast {
		for reason, n := range s.Refused {
			if share := 100 * float64(n) / float64(s.Received); share >= float64(t.RefusedPercent) {
				found = append(found, finding{"webhooks_refused", s.Source + " " + reason, ticket,
					fmt.Sprintf("%.0f %% of %s's webhooks were refused in the last ten minutes: %s.", share, s.Source, reason), share, 2 * time.Minute})
			}
		}
	}
	if s.LastAccepted.IsZero() || s.UsualGap <= 0 {
		return found
	}
	if silent := now.Sub(s.LastAccepted); silent.Seconds() > t.SilentFactor*s.UsualGap.Seconds() {
		found = append(found, finding{"source_silent", s.Source, ticket,
			fmt.Sprintf("Source %s has been silent for %s; at this hour of the week a webhook usually arrives every %s.", s.Source, rounded(silent.Seconds()), rounded(s.UsualGap.Seconds())),
			silent.Seconds(), 2 * time.Minute})
	}
	return found
}

// rounded shows seconds as a duration for people.
func rounded(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.0f hours", d.Hours())
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.0f minutes", d.Minutes())
	}
	return fmt.Sprintf("%.0f seconds", d.Seconds())
}
