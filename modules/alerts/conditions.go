package alerts

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"integration-gateway/platform/contract"
)

// The conditions.
const (
	JobsOverdue        = "jobs_overdue"
	OutboxBehind       = "outbox_behind"
	SpoolWaiting       = "spool_waiting"
	SpoolParked        = "spool_parked"
	PartitionsEnd      = "partitions_end"
	Books              = "books"
	DestinationDown    = "destination_down"
	DestinationFailing = "destination_failing"
	DeadLetters        = "dead_letters"
	Quarantine         = "quarantine"
	WebhooksRefused    = "webhooks_refused"
	SourceSilent       = "source_silent"
	SealsBehind        = "seals_behind"
	CertificateExpires = "certificate_expires"
	test               = "test"
)

// Severities. A page is for now, a ticket for the day.
const (
	page   = "page"
	ticket = "ticket"
)

// The units of thresholds.
const (
	seconds = "seconds"
	count   = "count"
	percent = "percent"
	factor  = "factor"
)

// condition describes one of the conditions. Without a unit it has no threshold.
type condition struct {
	name, severity string
	hold           time.Duration // how long it must hold before the alert opens
	meaning        string
	unit           string
	low, high      float64 // what a threshold may be, both included
}

const (
	day = 24 * time.Hour
	yes = "" // a condition that holds or does not
)

var conditions = []condition{
	{JobsOverdue, page, time.Minute, "The oldest due job of a queue waits for longer.", seconds, 1, day.Seconds()},
	{OutboxBehind, page, time.Minute, "An accepted event has not been published for longer.", seconds, 1, day.Seconds()},
	{SpoolWaiting, page, time.Minute, "A webhook that was accepted while the database was away has waited at the broker for longer.", seconds, 1, day.Seconds()},
	{SpoolParked, page, 0, "The database did not accept at least so many of the webhooks that waited at the broker.", count, 1, 100_000},
	{PartitionsEnd, page, 0, "A table has partitions for less time ahead.", seconds, time.Hour.Seconds(), 60 * day.Seconds()},
	{Books, page, 0, "The last consistency check found a fault.", yes, 0, 0},
	{DestinationDown, ticket, 5 * time.Minute, "A circuit breaker is not closed.", yes, 0, 0},
	{DestinationFailing, ticket, 2 * time.Minute, "This share of the attempts at a destination within ten minutes failed.", percent, 1, 100},
	{DeadLetters, ticket, 0, "At least so many dead letters of a kind are open.", count, 1, 100_000},
	{Quarantine, ticket, 0, "A source has at least so many requests in quarantine.", count, 1, 100_000},
	{WebhooksRefused, ticket, 2 * time.Minute, "This share of a source's webhooks within ten minutes was refused for one reason.", percent, 1, 100},
	{SourceSilent, ticket, 2 * time.Minute, "A source is silent for so many times its usual gap at this hour of the week.", factor, 1.5, 1000},
	{SealsBehind, ticket, time.Minute, "Audit entries have not been sealed for longer.", seconds, 1, day.Seconds()},
	{CertificateExpires, ticket, 0, "The certificate of a listener, or the client certificate of a destination, is valid for less time.", seconds, time.Hour.Seconds(), 365 * day.Seconds()},
}

// conditionNamed returns a condition; false if there is none of that name.
func conditionNamed(name string) (condition, bool) {
	i := slices.IndexFunc(conditions, func(c condition) bool { return c.name == name })
	if i < 0 {
		return condition{}, false
	}
	return conditions[i], true
}

// conditionNames are the names of all conditions, and that of a test.
func conditionNames() []string {
	names := make([]string, 0, len(conditions)+1)
	for _, c := range conditions {
		names = append(names, c.name)
	}
	return append(names, test)
}

// Thresholds say when a condition holds, by its name and in its unit.
type Thresholds map[string]float64

// atLeast is how many webhooks or attempts there must be before a share of them counts.
const atLeast = 20

// finding is a condition that holds for a subject.
type finding struct {
	condition, subject string
	severity, summary  string
	value              float64
	hold               time.Duration
}

// observed is what conditions are evaluated on.
type observed struct {
	at           time.Time
	gauges       contract.Gauges
	traffic      []contract.SourceTraffic
	certificates []certificate
}

// findings are the conditions that hold, as they are found.
type findings struct {
	Thresholds
	list []finding
}

func (f *findings) add(holds bool, name, subject string, value float64, format string, args ...any) {
	if !holds {
		return
	}
	c, _ := conditionNamed(name) // it is one of ours
	f.list = append(f.list, finding{name, subject, c.severity, fmt.Sprintf(format, args...), value, c.hold})
}

// findings returns the conditions that hold.
func (t Thresholds) findings(o observed) []finding {
	f := &findings{Thresholds: t}
	f.ofRecords(o.gauges)
	names := map[string]string{}
	for _, d := range o.gauges.Destinations {
		names[d.ID] = d.Name
	}
	for _, s := range o.traffic {
		f.ofSource(s, o.at)
		for id, d := range s.Destinations {
			name := cmp.Or(names[id], id)
			if o.gauges.Breakers[name] == 0 { // else it is down, which says more
				f.ofDestination(name, d)
			}
		}
	}
	for _, c := range o.certificates {
		f.ofCertificate(c, names, o.at)
	}
	slices.SortFunc(f.list, func(a, b finding) int { return compareKeys(a.key(), b.key()) })
	return f.list
}

// ofRecords adds the conditions of what is stored.
func (f *findings) ofRecords(g contract.Gauges) {
	for queue, age := range g.OldestDue {
		f.add(age > f.Thresholds[JobsOverdue], JobsOverdue, string(queue), age, "The oldest due job of the %s queue has waited for %s.", queue, rounded(age))
	}
	f.add(g.Unpublished > f.Thresholds[OutboxBehind], OutboxBehind, "", g.Unpublished, "Accepted events have not been published to the broker for %s.", rounded(g.Unpublished))
	f.add(g.Spool.Oldest > f.Thresholds[SpoolWaiting], SpoolWaiting, "", g.Spool.Oldest, "Webhooks that were accepted while the database was away have waited at the broker for %s: %d.",
		rounded(g.Spool.Oldest), g.Spool.Waiting)
	f.add(float64(g.Spool.Parked) >= f.Thresholds[SpoolParked], SpoolParked, "", float64(g.Spool.Parked), "Accepted webhooks that the database does not accept are parked at the broker: %d.", g.Spool.Parked)
	for destination, state := range g.Breakers {
		f.add(state > 0, DestinationDown, destination, float64(state), "Destination %s does not answer as it should; its circuit breaker is open.", destination)
	}
	for kind, n := range g.DeadLetters {
		f.add(float64(n) >= f.Thresholds[DeadLetters], DeadLetters, kind, float64(n), "Open dead letters of the kind %s: %d.", kind, n)
	}
	for source, n := range g.Quarantined {
		f.add(float64(n) >= f.Thresholds[Quarantine], Quarantine, source, float64(n), "Refused requests of %s in quarantine: %d.", source, n)
	}
	f.add(g.SealLag > f.Thresholds[SealsBehind], SealsBehind, "", g.SealLag, "Audit entries have not been sealed for %s.", rounded(g.SealLag))
	for table, ahead := range g.Partitions {
		f.add(ahead < f.Thresholds[PartitionsEnd], PartitionsEnd, table, ahead, "%s has partitions for %s; then webhooks are refused.", table, rounded(ahead))
	}
	f.add(g.Check != nil && !g.Check.Holds, Books, "", 0, "The last consistency check found that records do not fit together: run gateway verify.")
}

// ofSource adds the conditions of one source's traffic.
func (f *findings) ofSource(s contract.SourceTraffic, now time.Time) {
	if s.Received >= atLeast {
		for reason, n := range s.Refused {
			share := 100 * float64(n) / float64(s.Received)
			f.add(share >= f.Thresholds[WebhooksRefused], WebhooksRefused, s.Source+" "+reason, share,
				"%.0f %% of %s's webhooks were refused in the last ten minutes: %s.", share, s.Source, reason)
		}
	}
	if s.LastAccepted.IsZero() || s.UsualGap <= 0 {
		return
	}
	silent := now.Sub(s.LastAccepted).Seconds()
	f.add(silent > f.Thresholds[SourceSilent]*s.UsualGap.Seconds(), SourceSilent, s.Source, silent,
		"Source %s has been silent for %s; at this hour of the week a webhook usually arrives every %s.", s.Source, rounded(silent), rounded(s.UsualGap.Seconds()))
}

// ofDestination adds the condition of the attempts at one destination.
func (f *findings) ofDestination(name string, d contract.DestinationTraffic) {
	if d.Attempts < atLeast {
		return
	}
	var failed, most int64
	kind := ""
	for _, k := range slices.Sorted(maps.Keys(d.Failed)) {
		if failed += d.Failed[k]; d.Failed[k] > most {
			kind, most = k, d.Failed[k]
		}
	}
	share := 100 * float64(failed) / float64(d.Attempts)
	f.add(share >= f.Thresholds[DestinationFailing], DestinationFailing, name, share,
		"%.0f %% of %d attempts at %s failed in the last ten minutes, most of them for %s.", share, d.Attempts, name, kind)
}

// ofCertificate adds the condition of a certificate. names are those of destinations by id.
func (f *findings) ofCertificate(c certificate, names map[string]string, now time.Time) {
	left := c.ExpiresAt.Sub(now).Seconds()
	subject, of, when := c.Name+" "+c.Host, "The certificate of the "+c.Name+" listener on "+c.Host, "has expired; clients refuse it."
	if c.Host == "" {
		subject = cmp.Or(names[c.Name], c.Name)
		of, when = "The client certificate of destination "+subject, "has expired; the destination may refuse it."
	}
	if left > 0 {
		when = "expires in " + rounded(left) + "."
	}
	f.add(left < f.Thresholds[CertificateExpires], CertificateExpires, subject, left, "%s %s", of, when)
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
