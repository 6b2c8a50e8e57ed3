package verify

import (
	"context"
	"maps"
	"slices"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
)

// tally gathers what a run finds.
type tally struct {
	m       *Module
	sources map[string]*Source
	checks  map[string]*CheckOutcome
	dead    map[string]DeadCount
	queues  map[string]*int
}

func newTally(m *Module) *tally {
	t := &tally{m: m, sources: map[string]*Source{}, checks: map[string]*CheckOutcome{},
		dead: map[string]DeadCount{"exhausted": {}, "refused": {}, "unreadable": {}}, queues: map[string]*int{}}
	for _, p := range promises() {
		t.checks[p.Name] = &CheckOutcome{Promise: p.Promise, Problems: []Problem{}}
	}
	return t
}

func newSource(name string) *Source {
	return &Source{Name: name,
		Events: map[string]int{"pending": 0, "processing": 0, "processed": 0, "retrying": 0, "failed": 0},
		Jobs:   map[string]int{"queued": 0, "running": 0, "succeeded": 0, "failed": 0, "parked": 0}}
}

func (t *tally) source(name string) *Source {
	if t.sources[name] == nil {
		t.sources[name] = newSource(name)
	}
	return t.sources[name]
}

// found counts a problem and, where that is wanted and possible, has it repaired. That
// it cannot be repaired is part of the report; the error is the context's.
func (t *tally) found(ctx context.Context, check string, p Problem) error {
	outcome, source := t.checks[check], t.source(p.Source)
	if t.m.cfg.Repair && t.m.d.Repairer != nil && repairable(check) {
		_, err := t.m.d.Repairer.Repair(ctx, contract.Damage{Kind: contract.DamageKind(check), EventID: p.EventID,
			DestinationID: p.DestinationID, JobID: p.JobID, ReplayRequestID: p.ReplayRequestID})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if p.Repaired = err == nil; err != nil { // without an error it is right now, whoever put it right
			p.RepairError = err.Error()
		}
	}
	outcome.Found++
	source.Problems++
	if p.Repaired {
		outcome.Repaired++
		source.Repaired++
	}
	if len(outcome.Problems) < t.m.cfg.Limit {
		outcome.Problems = append(outcome.Problems, p)
	}
	return nil
}

func repairable(check string) bool {
	switch contract.DamageKind(check) {
	case contract.DamageMissingJob, contract.DamageStatus, contract.DamageLease, contract.DamageStranded, contract.DamageReplay:
		return true
	}
	return false
}

func (t *tally) report() Report {
	total := newSource("")
	r := Report{CheckedAt: clock.At(t.m.d.Now()), GraceMS: t.m.cfg.Grace.Milliseconds(), Sources: []Source{},
		DeadLetters: t.dead, Queues: t.queues, Checks: t.checks}
	for _, name := range slices.Sorted(maps.Keys(t.sources)) {
		s := t.sources[name]
		for status, n := range s.Events {
			total.Events[status] += n
		}
		for status, n := range s.Jobs {
			total.Jobs[status] += n
		}
		total.Problems += s.Problems
		total.Repaired += s.Repaired
		r.Sources = append(r.Sources, *s)
	}
	r.Total = *total
	r.Holds = r.Left() == 0
	return r
}
