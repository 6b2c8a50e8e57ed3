package main

import (
	"fmt"
	"strings"
)

// bar is a figure with what it was before the records were made smaller, and what it has to
// be at least, or at most.
type bar struct {
	what    string
	before  float64 // 0: not measured
	limit   float64 // 0: none
	atLeast bool
	format  string
	of      func(figures) float64
}

// The figures before are of commit 2f1b08b0a79c; the embedded bytes are of b58cd5e81a13,
// with the same records.
func bars() []bar {
	return []bar{
		{"bytes of database an event, servers", 5139, 2300, false, "%.0f", func(f figures) float64 { return f.Servers.Database }},
		{"bytes of WAL an event, servers", 7800, 3400, false, "%.0f", func(f figures) float64 { return f.Servers.WAL }},
		{"bytes of database an event, embedded", 6076, 0, false, "%.0f", func(f figures) float64 { return f.Embedded.Database }},
		{"bytes of WAL an event, embedded", 30361, 0, false, "%.0f", func(f figures) float64 { return f.Embedded.WAL }},
		{"delivered/s, servers: ratio", 0.104, 0.16, true, "%.3f", func(f figures) float64 { return f.Rates.Delivered }},
		{"accepted/s, servers, no worker: ratio", 0.182, 0.28, true, "%.3f", func(f figures) float64 { return f.Rates.Accepted }},
		{"accepted/s, embedded: ratio", 0.099, 0.16, true, "%.3f", func(f figures) float64 { return f.Rates.EmbeddedAccepted }},
		{"delivered/s, embedded: ratio", 0.088, 0.15, true, "%.3f", func(f figures) float64 { return f.Rates.EmbeddedDelivered }},
		{"peak MB of dev at full speed", 155, 120, false, "%.0f", func(f figures) float64 { return f.Rates.DevMegabytes }},
		{"p99 of acceptance at a quarter: ratio", 9.9, 5, false, "%.1f", func(f figures) float64 { return f.Rates.AcceptanceP99 }},
		{"p99 to arrival at a quarter, ms", 23, 15, false, "%.1f", func(f figures) float64 { return f.Rates.ArrivalP99 }},
	}
}

// cells returns a bar's row: what, before, now, the bar, and whether it is held.
func (b bar) cells(f figures) [5]string {
	number := func(n float64) string {
		if n == 0 {
			return "–"
		}
		return fmt.Sprintf(b.format, n)
	}
	now := b.of(f)
	row := [5]string{b.what, number(b.before), number(now), "–", "–"}
	if b.limit == 0 {
		return row
	}
	sign, held := "≤ ", now <= b.limit
	if b.atLeast {
		sign, held = "≥ ", now >= b.limit
	}
	row[3] = sign + number(b.limit)
	switch {
	case now == 0:
		row[4] = "not measured"
	case held:
		row[4] = "held"
	default:
		row[4] = "missed"
	}
	return row
}

var barHead = [5]string{"what", "before", "now", "bar", ""}

// barTable formats the bars in Markdown.
func (f figures) barTable() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| %s |\n| --- | ---: | ---: | ---: | --- |\n", strings.Join(barHead[:], " | "))
	for _, one := range bars() {
		row := one.cells(f)
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row[:], " | "))
	}
	return b.String()
}
