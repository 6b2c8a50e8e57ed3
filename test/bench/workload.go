package main

import (
	"fmt"
	"slices"
	"time"
)

// The values of a workload's fields.
const (
	onServers = "servers"
	embedded  = "embedded"
	accept    = "accept"
	deliver   = "deliver"
	closed    = "closed"
	open      = "open"
	standard  = "standard"
	lean      = "lean"
)

// workload is one thing to measure, in several turns.
type workload struct {
	setup, mode, loop string
	concurrency       int
	rate              int // of an open loop
	payload           int
	sender            string
	sources           int    // sources that the load is spread over; 0 for only acme
	hangingURL        string // URL of the first source's destination; "" if it is like the others
	duration          time.Duration
	repeats           int
	env               []string // additional environment of the gateway
	scrape            bool     // each process is asked for its metrics every second
}

func (w workload) name() string {
	text := fmt.Sprintf("%s, %s, %s loop", w.setup, w.mode, w.loop)
	if w.rate > 0 {
		text += fmt.Sprintf(" at %d/s", w.rate)
	}
	return text
}

// measured is one turn of the ceiling or of the gateway.
type measured struct {
	accepted   int     // in the measured time
	acceptRate float64 // per second
	// deliverRate covers what was accepted in that time, until the last of it had arrived.
	deliverRate float64
	acceptance  percentiles
	delivery    percentiles // from the (scheduled) time of sending until arrival
	missing     int         // accepted, also in the warm-up, but missing in the end
	twice       int
	published   time.Duration // from the end until messages for every job were published; without a worker
	costs       []cost
	problems    map[string]int
}

// generator is the program that sends and receives.
const generator = "generator"

// cost is the resource usage of one program.
type cost struct {
	name   string
	cpu    float64 // seconds per 1,000 accepted webhooks
	memory int64   // peak memory in bytes; 0 if not measured
}

// result holds a workload's turns. Each turn of the gateway is between two of the ceiling.
type result struct {
	workload
	ceilings, turns []measured
}

// each returns a figure of every turn of the gateway.
func (r result) each(of func(measured) float64) []float64 {
	list := make([]float64, len(r.turns))
	for i, m := range r.turns {
		list[i] = of(m)
	}
	return list
}

// ratios divides a figure of each turn by the same, or another, of its neighbours.
func (r result) ratios(of, ceiling func(measured) float64) []float64 {
	list := make([]float64, len(r.turns))
	for i, m := range r.turns {
		if around := (ceiling(r.ceilings[i]) + ceiling(r.ceilings[i+1])) / 2; around > 0 {
			list[i] = of(m) / around
		}
	}
	return list
}

func (r result) missing() (n int) {
	for _, m := range r.turns {
		n += m.missing
	}
	return n
}

func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	middle := len(list) / 2
	if len(list)%2 == 1 {
		return list[middle]
	}
	return (list[middle-1] + list[middle]) / 2
}

func acceptRate(m measured) float64  { return m.acceptRate }
func deliverRate(m measured) float64 { return m.deliverRate }
