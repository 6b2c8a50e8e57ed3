// Scaling reckons what rates of events take, from what scripts/bench measured an event to cost
// (docs/performance.json), and simulates the queues and a failover at those rates. It prints the
// tables of docs/scaling.md.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// measuredFile holds what scripts/bench --write measured, by path from the root.
const measuredFile = "docs/performance.json"

// rates are the events a second that are reckoned with.
var rates = []float64{1_000, 10_000, 100_000, 1_000_000}

// measured is the part of the file that an event's costs are in.
type measured struct {
	Servers struct {
		Database float64 `json:"database"` // bytes an event
		WAL      float64 `json:"wal"`      // bytes an event
		Tables   []struct {
			Name                 string
			Heap, Toast, Indexes float64 // bytes an event
		}
	} `json:"servers"`
	CPU map[string]map[string]float64 `json:"cpu"` // milliseconds an event, by setup and program
}

func read(root string) (m measured, err error) {
	text, err := os.ReadFile(filepath.Join(root, measuredFile)) //nolint:gosec // our own
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return m, fmt.Errorf("read %s: %w", measuredFile, err)
	}
	for _, name := range programs {
		if m.CPU["servers"][name] <= 0 {
			return m, fmt.Errorf("read %s: it has no processor time of %s; run ./scripts/bench --write", measuredFile, name)
		}
	}
	return m, nil
}

// tables returns what the document shows.
func tables(m measured) string {
	var b strings.Builder
	b.WriteString("| events a second | cores: serve, work | PostgreSQL | RabbitMQ | Redis | WAL | a day | kept | rows of events | connections | machines | volume |\n" +
		"| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, rate := range rates {
		b.WriteString(reckon(m, rate).row())
	}
	b.WriteString("\n| events a second | PostgreSQL busy | accepted: p50, p99 | arrived: p50, p99 | in a failover: waited longest | as usual again after |\n" +
		"| ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, rate := range rates {
		for _, busy := range []float64{0.5, 0.8} {
			b.WriteString(simulated(m, rate, busy).row())
		}
	}
	return b.String()
}

func main() {
	m, err := read(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(tables(m))
}
