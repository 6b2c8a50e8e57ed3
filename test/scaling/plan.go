package main

import (
	"fmt"
	"math"
	"strings"
)

// programs are what an event takes processor time of.
var programs = []string{"serve", "work", "postgres", "rabbitmq", "redis"}

// What is assumed, not measured.
const (
	// busy is the share of their cores that programs are planned to use.
	busy = 0.5
	// coresOfProcess is what one serve or work is given, connectionsOfProcess its pool
	// (DATABASE_MAX_CONNECTIONS).
	coresOfProcess       = 2
	connectionsOfProcess = 20
	// dollarsOfCore is a month of a core with 4 GB of memory, dollarsOfGB one of a general purpose
	// SSD volume: of the order of public clouds' list prices without commitments.
	dollarsOfCore = 35.0
	dollarsOfGB   = 0.08
	eventDays     = 97 // RETENTION_EVENTS and the week that a partition spans
	auditDays     = 400
	daySeconds    = 86_400
)

// plan is what a rate takes.
type plan struct {
	rate        float64
	cores       map[string]float64 // by program
	wal         float64            // bytes a second
	day, kept   float64            // bytes of database: what a day adds, and what there is in the long run
	rows        float64            // of the largest table, in the long run
	connections float64
}

func reckon(m measured, rate float64) plan {
	p := plan{rate: rate, cores: map[string]float64{}, wal: rate * m.Servers.WAL, day: rate * daySeconds * m.Servers.Database, rows: rate * daySeconds * eventDays}
	for _, name := range programs {
		p.cores[name] = rate * m.CPU["servers"][name] / 1000 / busy
	}
	for _, t := range m.Servers.Tables {
		days := float64(eventDays)
		if strings.HasPrefix(t.Name, "audit_") {
			days = auditDays
		}
		p.kept += rate * daySeconds * days * (t.Heap + t.Toast + t.Indexes)
	}
	p.connections = connectionsOfProcess * (processes(p.cores["serve"]) + processes(p.cores["work"]))
	return p
}

// processes is how many processes share so many cores: two at least, so that one may end.
func processes(cores float64) float64 { return max(2, math.Ceil(cores/coresOfProcess)) }

func (p plan) row() string {
	total := 0.0
	for _, cores := range p.cores {
		total += max(1, cores)
	}
	return fmt.Sprintf("| %s | %s, %s | %s | %s | %s | %s/s | %s | %s | %s | %s | $%s | $%s |\n", grouped(p.rate),
		cores(p.cores["serve"]), cores(p.cores["work"]), cores(p.cores["postgres"]), cores(p.cores["rabbitmq"]), cores(p.cores["redis"]),
		bytes(p.wal), bytes(p.day), bytes(p.kept), amount(p.rows), grouped(p.connections), grouped(total*dollarsOfCore), grouped(p.kept/1e9*dollarsOfGB))
}

func cores(n float64) string { return fmt.Sprintf("%.0f", math.Ceil(n)) }

// bytes shows a number of bytes with two digits.
func bytes(n float64) string { return scaled(n, []string{"B", "kB", "MB", "GB", "TB", "PB"}) }

// amount is bytes for what is counted.
func amount(n float64) string {
	return strings.TrimSpace(scaled(n, []string{"", "thousand", "million", "billion", "trillion"}))
}

func scaled(n float64, units []string) string {
	i := 0
	for n >= 999.5 && i < len(units)-1 {
		n /= 1000
		i++
	}
	if n < 9.95 {
		return fmt.Sprintf("%.1f %s", n, units[i])
	}
	return fmt.Sprintf("%.0f %s", n, units[i])
}

// grouped shows an integer with separators.
func grouped(n float64) string {
	text := fmt.Sprintf("%.0f", n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
