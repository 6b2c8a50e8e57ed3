package main

import (
	"fmt"
	"slices"
	"time"
)

// What a cell can be.
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

// cell is one thing to measure, in several turns.
type cell struct {
	setup, mode, loop string
	concurrency       int
	rate              int // of an open loop
	payload           int
	sender            string
	among             int    // sources that the load is spread over; 0 for acme alone
	dead              string // URL of the first one's destination; "" when that is as the others
	duration          time.Duration
	repeats           int
	env               []string // of the gateway, besides what it always has
}

func (c cell) name() string {
	text := fmt.Sprintf("%s, %s, %s loop", c.setup, c.mode, c.loop)
	if c.rate > 0 {
		text += fmt.Sprintf(" at %d/s", c.rate)
	}
	return text
}

// measured is one turn of the ceiling or of the gateway.
type measured struct {
	accepted   int     // in the time that counts
	acceptRate float64 // a second
	// deliverRate is of what was accepted in that time, until the last of it had arrived.
	deliverRate float64
	acceptance  spread
	delivery    spread // from when it was sent, or was to be sent, until it arrived
	missing     int    // accepted, in the warm-up too, and not there in the end
	twice       int
	published   time.Duration // from the end until messages had named every job; without a worker
	costs       []cost
	problems    map[string]int
}

// cost is what one program took.
type cost struct {
	name   string
	cpu    float64 // seconds per 1,000 accepted webhooks
	memory int64   // the most it had, in bytes; 0 where it was not asked for
}

// result is a cell's turns. Each of the gateway's stands between two of the ceiling's.
type result struct {
	cell
	ceilings, turns []measured
}

// each gives a figure of every turn of the gateway.
func (r result) each(of func(measured) float64) []float64 {
	list := make([]float64, len(r.turns))
	for i, m := range r.turns {
		list[i] = of(m)
	}
	return list
}

// ratios gives a figure of each turn over the same, or another, of its neighbours.
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
