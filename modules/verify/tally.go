package verify

import (
	"context"
	"maps"
	"slices"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// checker collects what a run finds.
type checker struct {
	m       *Module
	sources map[string]*Source
	checks  map[string]*CheckOutcome
	dead    map[string]DeadCount
	queues  map[string]*int
}

func newChecker(m *Module) *checker {
	c := &checker{m: m, sources: map[string]*Source{}, checks: map[string]*CheckOutcome{},
		dead: map[string]DeadCount{"exhausted": {}, "refused": {}, "unreadable": {}}, queues: map[string]*int{}}
	for _, p := range promises() {
		c.checks[p.Name] = &CheckOutcome{Promise: p.Promise, Problems: []Problem{}}
	}
	return c
}

func newSource(name string) *Source {
	return &Source{Name: name,
		Events: map[string]int{"pending": 0, "processing": 0, "processed": 0, "retrying": 0, "failed": 0},
		Jobs:   map[string]int{"queued": 0, "running": 0, "succeeded": 0, "failed": 0, "parked": 0}}
}

func (c *checker) source(name string) *Source {
	if c.sources[name] == nil {
		c.sources[name] = newSource(name)
	}
	return c.sources[name]
}

// record counts a problem and, if that is wanted and possible, has it repaired. A failed
// repair is part of the report; the only error is ctx's.
func (c *checker) record(ctx context.Context, check string, p Problem) error {
	outcome, source := c.checks[check], c.source(p.Source)
	if c.m.cfg.Repair && c.m.d.Repairer != nil && repairable(check) {
		_, err := c.m.d.Repairer.Repair(ctx, contract.Damage{Kind: contract.DamageKind(check), EventID: p.EventID,
			DestinationID: p.DestinationID, JobID: p.JobID, ReplayRequestID: p.ReplayRequestID, RewindID: p.RewindID})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if p.Repaired = err == nil; err != nil { // no error means that it is correct now, whoever repaired it
			p.RepairError = err.Error()
		}
	}
	outcome.Found++
	source.Problems++
	if p.Repaired {
		outcome.Repaired++
		source.Repaired++
	}
	if len(outcome.Problems) < c.m.cfg.Limit {
		outcome.Problems = append(outcome.Problems, p)
	}
	return nil
}

func repairable(check string) bool {
	switch contract.DamageKind(check) {
	case contract.DamageMissingJob, contract.DamageStatus, contract.DamageLease, contract.DamageStranded, contract.DamageDestination, contract.DamageReplay, contract.DamageRewind:
		return true
	}
	return false
}

func (c *checker) report() Report {
	total := newSource("")
	r := Report{CheckedAt: clock.At(c.m.d.Now()), GraceMS: c.m.cfg.Grace.Milliseconds(), Sources: []Source{},
		DeadLetters: c.dead, Queues: c.queues, Checks: c.checks}
	for _, name := range slices.Sorted(maps.Keys(c.sources)) {
		s := c.sources[name]
		for status, n := range s.Events {
			total.Events[status] += n
		}
		for status, n := range s.Jobs {
			total.Jobs[status] += n
		}
		total.Examples += s.Examples
		total.Problems += s.Problems
		total.Repaired += s.Repaired
		r.Sources = append(r.Sources, *s)
	}
	r.Total = *total
	r.Holds = r.Remaining() == 0
	return r
}
