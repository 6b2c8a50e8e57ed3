package main

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// What is simulated: a minute in which the events of a rate arrive at random (a Poisson
// process), pass serve, PostgreSQL, work and PostgreSQL again, each with as many cores as make
// PostgreSQL as busy as is said and the others as the plan has them, and each taking an
// exponentially distributed time around what was measured. The database is away for the time
// that the fault suite measured of a hung primary with a standby (docs/reliability.md), and what
// came meanwhile waits.
const (
	seconds  = 60.0
	outageAt = 20.0
	outage   = 3.4
	// groups is how many groups of events arrive a second: events of one group take their steps
	// together, as commits and claims do. It bounds how long the simulation takes.
	groups = 2_000.0
	// acceptShare is the part of PostgreSQL's time that accepting an event takes, the rest is its
	// delivery's: 0.161 of 0.345 ms in the last full run of docs/performance.md.
	acceptShare = 0.47
)

// The steps of an event.
const (
	received = iota
	stored
	claimed
	recorded
	steps
)

// station is the cores of one program, in as many bundles as there can be that take a group's
// events side by side.
type station struct {
	free []float64 // when each bundle is free, as a heap
	slow float64   // how many times an event's time a bundle takes for a group
	away bool      // not there during the outage
}

func (s *station) Len() int           { return len(s.free) }
func (s *station) Less(i, j int) bool { return s.free[i] < s.free[j] }
func (s *station) Swap(i, j int)      { s.free[i], s.free[j] = s.free[j], s.free[i] }
func (s *station) Push(any)           {}
func (s *station) Pop() any           { return nil }

func newStation(cores, perGroup float64, away bool) *station {
	bundles := max(1, math.Floor(cores/perGroup))
	return &station{free: make([]float64, int(bundles)), slow: perGroup * bundles / cores, away: away}
}

// serve returns when a group's step ends that could begin at a time, if one event takes so long.
func (s *station) serve(at, takes float64, broken bool) float64 {
	begin := max(at, s.free[0])
	takes *= s.slow
	if s.away && broken && begin+takes > outageAt && begin < outageAt+outage {
		begin = outageAt + outage
	}
	s.free[0] = begin + takes
	heap.Fix(s, 0)
	return begin + takes
}

// due is a step that may begin.
type due struct {
	at    float64
	step  int
	group int
}

type agenda []due

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at < a[j].at }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(d any)        { *a = append(*a, d.(due)) } //nolint:forcetypeassert // it has no other
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// waits are how long groups took, in seconds, and when they came.
type waits struct{ came, accepted, arrived []float64 }

func run(m measured, rate, postgresBusy float64, broken bool) waits {
	chance := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	cpu := m.CPU["servers"]
	perGroup := max(1, rate/groups)
	of := func(name string, busy float64, away bool) *station {
		return newStation(rate*cpu[name]/1000/busy, perGroup, away)
	}
	serve, worker, postgres := of("serve", busy, false), of("work", busy, false), of("postgres", postgresBusy, true)
	at := [steps]*station{serve, postgres, worker, postgres}
	takes := [steps]float64{cpu["serve"], cpu["postgres"] * acceptShare, cpu["work"], cpu["postgres"] * (1 - acceptShare)}

	var w waits
	open := &agenda{}
	for now := 0.0; now < seconds; now += chance.ExpFloat64() * perGroup / rate {
		heap.Push(open, due{now, received, len(w.came)})
		w.came = append(w.came, now)
	}
	w.accepted, w.arrived = make([]float64, len(w.came)), make([]float64, len(w.came))
	for open.Len() > 0 {
		d := heap.Pop(open).(due) //nolint:forcetypeassert // it has no other
		end := at[d.step].serve(d.at, chance.ExpFloat64()*takes[d.step]/1000, broken)
		switch d.step {
		case stored:
			w.accepted[d.group] = end - w.came[d.group]
		case claimed:
			w.arrived[d.group] = end - w.came[d.group]
		}
		if d.step+1 < steps {
			heap.Push(open, due{end, d.step + 1, d.group})
		}
	}
	return w
}

// result is what the document shows of a simulation, in seconds.
type result struct {
	rate, busy        float64
	accepted, arrived [2]float64 // median and 99th percentile, without an outage
	longest, settled  float64    // with one: the longest wait to be accepted, and until none waits longer than usual
}

func simulated(m measured, rate, postgresBusy float64) result {
	usual, broken := run(m, rate, postgresBusy, false), run(m, rate, postgresBusy, true)
	r := result{rate: rate, busy: postgresBusy, longest: slices.Max(broken.accepted)}
	r.accepted, r.arrived = percentiles(usual.accepted), percentiles(usual.arrived)
	for i, at := range broken.came {
		if at > outageAt+outage && broken.arrived[i] <= r.arrived[1] {
			r.settled = at - outageAt
			break
		}
	}
	return r
}

func percentiles(list []float64) [2]float64 {
	sorted := slices.Sorted(slices.Values(list))
	return [2]float64{sorted[len(sorted)/2], sorted[len(sorted)*99/100]}
}

func (r result) row() string {
	return fmt.Sprintf("| %s | %.0f %% | %s, %s | %s, %s | %.1f s | %.1f s |\n", grouped(r.rate), 100*r.busy,
		millis(r.accepted[0]), millis(r.accepted[1]), millis(r.arrived[0]), millis(r.arrived[1]), r.longest, r.settled)
}

func millis(s float64) string { return fmt.Sprintf("%.1f ms", 1000*s) }
