package main

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// short formats a full run for a terminal of 80 columns. The full tables are in the
// document that --write writes.
func short(f figures, results []result) string {
	var b strings.Builder
	b.WriteString("what                                    before       now       bar\n")
	for _, one := range bars() {
		row := one.cells(f)
		fmt.Fprintf(&b, "%s%s%s%s  %s\n", pad(row[0], -38), pad(row[1], 8), pad(row[2], 10), pad(row[3], 10), row[4])
	}
	b.WriteString("\nrates and p99 in ms (median turn)     bare/s accept/s  ratio  p99 deliv/s  p99\n")
	for _, r := range results {
		delivered, arrival := "–", "–"
		if r.mode == deliver {
			delivered = fmt.Sprintf("%.0f", median(r.each(deliverRate)))
			arrival = millis(r.duration50(func(m measured) time.Duration { return m.delivery.p99 }))
		}
		name := strings.ReplaceAll(strings.Replace(r.name(), " loop", "", 1), ",", "")
		fmt.Fprintf(&b, "%s%s%s%s%s%s%s\n", pad(name, -36), pad(fmt.Sprintf("%.0f", median(r.ceilingEach(acceptRate))), 8),
			pad(fmt.Sprintf("%.0f", median(r.each(acceptRate))), 9), pad(fmt.Sprintf("%.3f", median(r.ratios(acceptRate, acceptRate))), 7),
			pad(millis(r.duration50(func(m measured) time.Duration { return m.acceptance.p99 })), 5), pad(delivered, 8), pad(arrival, 5))
	}
	b.WriteString("\n" + f.Servers.short(onServers) + "\n" + f.Embedded.short(embedded))
	for _, p := range peers() {
		if s, measured := f.Peers[p.name]; measured {
			fmt.Fprintf(&b, "\n%s: %.0f bytes of database and %.0f of WAL an event\n", p.name, s.Database, s.WAL)
		}
	}
	return b.String()
}

// short formats s for a terminal of 80 columns.
func (s storage) short(setup string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %.0f bytes of database and %.0f of WAL an event (%d events)\n", setup, s.Database, s.WAL, s.Events)
	b.WriteString("table                     bytes   heap  toast indexes   rows updates   HOT  dead\n")
	for _, t := range s.Tables {
		fmt.Fprintf(&b, "%s%7.0f%7.0f%7.0f%8.0f", pad(t.Name, -24), t.bytes(), t.Heap, t.Toast, t.Indexes)
		if t.Inserted > 0 {
			fmt.Fprintf(&b, "%7.2f%8.2f%s%6.2f", t.Inserted, t.Updated, pad(t.share(), 6), t.Dead)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// pad fills text with blanks to a width, on the left, or on the right if it is negative.
func pad(text string, width int) string {
	blanks := strings.Repeat(" ", max(0, max(width, -width)-utf8.RuneCountInString(text)))
	if width < 0 {
		return text + blanks
	}
	return blanks + text
}
