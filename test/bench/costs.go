package main

import (
	"fmt"
	"strings"
)

// What the table of costs assumes.
const (
	// dollarsPerGB is an assumption: a month of a general purpose SSD volume, per GB, as
	// Amazon's EBS gp3 has been priced in its cheapest regions. It is not looked up.
	// https://aws.amazon.com/ebs/pricing/
	dollarsPerGB = 0.08
	daysInMonth  = 365.0 / 12
	eventDays    = 97  // RETENTION_EVENTS and the week that a partition spans
	auditDays    = 400 // RETENTION_AUDIT
)

var eventsAMonth = []int{1_000_000, 10_000_000, 100_000_000}

// kept is how many months of a table's rows the database holds in the long run.
func (t tableStorage) kept() float64 {
	if strings.HasPrefix(t.Name, "audit_") {
		return auditDays / daysInMonth
	}
	return eventDays / daysInMonth
}

// kept returns the gigabytes that the database holds in the long run, at so many events a
// month. What no table accounts for is kept like events.
func (s storage) kept(events int) float64 {
	bytes, rest := 0.0, s.Database
	for _, t := range s.Tables {
		bytes += t.bytes() * t.kept()
		rest -= t.bytes()
	}
	bytes += max(0, rest) * eventDays / daysInMonth
	return bytes * float64(events) / 1e9
}

// costs is the part of docs/deployment.md that the figures make.
func (f figures) costs() string {
	var b strings.Builder
	fmt.Fprintf(&b, "For events like the benchmark's (%d bytes, one destination, delivered at once). Kept: in the long run, with events for %d days\n"+
		"(`RETENTION_EVENTS` and a week) and the audit trail for %d (`RETENTION_AUDIT`). Dollars are a month's, for a volume of just that size at\n"+
		"an assumed %.2f a GB (of the order of Amazon's EBS gp3; check your provider's price), without copies, backups and machines.\n"+
		"Processor time is a month's, of all processes and servers at full speed; at a quarter of it, where groups are smaller, an event takes\n"+
		"three to four times as much ([performance.md](performance.md)).\n\n", payloadBytes, eventDays, auditDays, dollarsPerGB)
	b.WriteString("| events a month | setup | came in | database grows by | WAL | kept | volume | processor time |\n" +
		"| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, n := range eventsAMonth {
		for _, of := range []struct {
			name, key string
			storage
		}{{"PostgreSQL, RabbitMQ, Redis", onServers, f.Servers}, {"embedded", embedded, f.Embedded}} {
			hours := "–"
			if programs := f.CPU[of.key]; len(programs) > 0 {
				cpu := 0.0
				for _, ms := range programs {
					cpu += ms
				}
				hours = plain(cpu*float64(n)/3.6e6) + " h"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | $%s | %s |\n", thousands(n), of.name, gigabytes(payloadBytes*float64(n)),
				gigabytes(of.Database*float64(n)), gigabytes(of.WAL*float64(n)), gigabytes(1e9*of.kept(n)),
				dollars(of.kept(n)*dollarsPerGB), hours)
		}
	}
	return b.String() + f.peerCosts()
}

// peerCosts compares the bytes with those of other projects' tables.
func (f figures) peerCosts() string {
	if len(f.Peers) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nThe same events in the tables of two others, all kept for %d days; this gateway's audit trail is kept for %d.\n"+
		"The benchmark does not run their programs. It creates tables in PostgreSQL with the columns and indexes of published schemas\n"+
		"(%s),\n"+
		"and writes the rows of %s deliveries by statements of its own, written after reading what their code inserts and updates. Later indexes\n"+
		"of Convoy, its search table and foreign keys are left out, and events go through one after another, so that old versions are pruned\n"+
		"at once: their figures are a lower bound.\n\n", eventDays, auditDays, peerSources(), thousands(peerEvents))
	b.WriteString("| | bytes an event | WAL an event | kept at 1, 10 and 100 million a month | volume |\n| --- | ---: | ---: | --- | --- |\n")
	row := func(name string, s storage) {
		var kept, cost []string
		for _, n := range eventsAMonth {
			gb := s.kept(n)
			kept, cost = append(kept, gigabytes(1e9*gb)), append(cost, "$"+dollars(gb*dollarsPerGB))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", name, plain(s.Database), plain(s.WAL), strings.Join(kept, ", "), strings.Join(cost, ", "))
	}
	row("this gateway, with its audit trail", f.Servers)
	for _, p := range peers() {
		if s, measured := f.Peers[p.name]; measured {
			row(p.name, s)
		}
	}
	return b.String()
}

func gigabytes(bytes float64) string { return plain(bytes/1e9) + " GB" }

// plain formats a number with two significant digits, or as a whole one with separators.
func plain(n float64) string {
	switch {
	case n < 10:
		return fmt.Sprintf("%.1f", n)
	default:
		return thousands(int(n + 0.5))
	}
}

func dollars(n float64) string {
	if n < 10 {
		return fmt.Sprintf("%.2f", n)
	}
	return thousands(int(n + 0.5))
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
