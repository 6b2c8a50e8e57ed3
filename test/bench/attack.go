package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/clock"
)

// loadDivisor: the valid webhooks come at this fraction of the maximum rate. On a saturated
// machine an attack takes what any load takes.
const loadDivisor = 5

// attacker attacks the gateway of one turn.
type attacker interface {
	// start attacks until stop is called, which waits for the outstanding responses.
	start(ctx context.Context) (stop func())
	// answers counts the responses to each attack, by status or by the error.
	answers() (map[string]map[string]int, error)
}

// attackKind is one kind of attack.
type attackKind struct {
	name    string
	keeps   float64  // minimum share of the accepted rate that must remain
	strict  bool     // no valid webhook may be refused
	env     []string // additional environment of the gateway
	against func(addr string, good int) (attacker, error)
}

// floodOf sends so many bad signatures for each valid webhook.
func floodOf(w workload, each int) attackKind {
	return attackKind{name: fmt.Sprintf("%d bad signatures for each valid webhook, half of them from one client address", each),
		keeps: 0.9, strict: true, env: []string{"TRUSTED_PROXIES=127.0.0.1/32"},
		against: func(addr string, good int) (attacker, error) { return newFlood(addr, "flood", w, good*each) }}
}

// siegeOf attacks the front door in every way at once.
func siegeOf(callback string) attackKind {
	return attackKind{name: "every attack on the front door at once", keeps: 0.95,
		against: func(addr string, _ int) (attacker, error) { return newSiege(addr, callback) }}
}

// attackTurn is a turn with or without an attack.
type attackTurn struct {
	measured
	attacked bool
	lasted   time.Duration // of the attack
	answers  map[string]map[string]int
}

// attackResult is the effect of an attack on senders of valid webhooks.
type attackResult struct {
	workload
	kind  attackKind
	turns []attackTurn
}

// runAttack measures what an attack takes from senders of valid webhooks.
func (b *bench) runAttack(ctx context.Context, o options, out io.Writer, began time.Time) error {
	kind := siegeOf(b.receiver.url())
	if !o.siege {
		kind = floodOf(o.workload, o.flood)
	}
	r, err := b.measureAttack(ctx, o.workload, kind)
	if err != nil {
		return err
	}
	fmt.Fprint(out, "\n", b.machine(ctx, began), "\n", r)
	return r.fails()
}

// measureAttack measures the gateway's maximum rate, and then sends a fraction of it, in
// alternating turns without and with the attack.
func (b *bench) measureAttack(ctx context.Context, w workload, kind attackKind) (r attackResult, err error) {
	w.env = append(w.env, kind.env...)
	b.say("%s, %s:", kind.name, w.name())
	most, err := b.gatewayTurn(ctx, w)
	if err != nil {
		return r, err
	}
	w.loop, w.rate = open, max(1, int(most.acceptRate)/loadDivisor)
	r = attackResult{workload: w, kind: kind}
	b.say("  maximum %.0f/s; sending %d/s valid", most.acceptRate, w.rate)
	for range w.repeats {
		for _, attacked := range []bool{false, true} {
			t, err := b.attackTurn(ctx, w, kind, attacked)
			if err != nil {
				return r, err
			}
			r.turns = append(r.turns, t)
			b.say("  %s", t.line())
		}
	}
	return r, nil
}

// attackTurn sets up the attack in any case, so that a turn without it is measured on the
// same gateway.
func (b *bench) attackTurn(ctx context.Context, w workload, kind attackKind, attacked bool) (t attackTurn, err error) {
	t.attacked = attacked
	var a attacker
	t.measured, err = b.gatewayTurnWith(ctx, w, func(g *gateway) (stop func(), err error) {
		if a, err = kind.against(g.addr, w.rate); err != nil || !attacked {
			return func() {}, err
		}
		began, end := clock.System(), a.start(ctx)
		return func() {
			end()
			t.lasted = clock.System().Sub(began)
		}, nil
	})
	if err != nil {
		return t, err
	}
	t.answers, err = a.answers()
	return t, err
}

func (t attackTurn) what() string {
	if t.attacked {
		return "attacked"
	}
	return "without"
}

func (t attackTurn) line() string {
	text := fmt.Sprintf("%-8s valid %5.0f/s accepted, p50 %s, p99 %s%s", t.what(), t.acceptRate, millis(t.acceptance.p50), millis(t.acceptance.p99), t.details())
	if t.attacked {
		text += fmt.Sprintf("; %.0f/s of the attackers' requests answered", t.answered())
	}
	return text
}

// answered returns the attackers' answered requests per second.
func (t attackTurn) answered() (rate float64) {
	for _, answers := range t.answers {
		for _, n := range answers {
			rate += float64(n) / t.lasted.Seconds()
		}
	}
	return rate
}

// kept returns the remaining share of the accepted rate, from medians.
func (r attackResult) kept() float64 {
	without := r.medians(false, acceptRate)
	if without == 0 {
		return 0
	}
	return r.medians(true, acceptRate) / without
}

func (r attackResult) medians(attacked bool, of func(measured) float64) float64 {
	var list []float64
	for _, t := range r.turns {
		if t.attacked == attacked {
			list = append(list, of(t.measured))
		}
	}
	return median(list)
}

// fails returns an error if the attack did harm, or if the run is inconclusive.
func (r attackResult) fails() error {
	if without := r.medians(false, acceptRate); without < r.kind.keeps*float64(r.rate) {
		return fmt.Errorf("without an attack only %.0f/s of %d/s were accepted: the machine is busy, and the run is inconclusive", without, r.rate)
	}
	if r.kept() < r.kind.keeps {
		return fmt.Errorf("the attack left %.1f %% of the accepted rate; the minimum is %.0f %%", 100*r.kept(), 100*r.kind.keeps)
	}
	for _, t := range r.turns {
		for name, answers := range t.answers {
			if t.attacked && len(answers) == 0 {
				return fmt.Errorf("the attack %s got no response: the run is inconclusive", name)
			}
		}
		if t.missing > 0 {
			return errors.New("valid webhooks that were answered 2xx did not arrive")
		}
		if r.kind.strict && len(t.problems) > 0 {
			return errors.New("valid webhooks were not answered 2xx")
		}
	}
	return nil
}

// String formats the turns in Markdown.
func (r attackResult) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, a fifth of the maximum; %s.\n\n"+
		"| turn | valid/s accepted | p50 ms | p99 ms | max ms | attackers/s |\n| --- | ---: | ---: | ---: | ---: | ---: |\n", r.name(), r.kind.name)
	for _, t := range r.turns {
		attackers := "–"
		if t.attacked {
			attackers = fmt.Sprintf("%.0f", t.answered())
		}
		fmt.Fprintf(&b, "| %s | %.0f | %s | %s | %s | %s |\n", t.what(), t.acceptRate,
			millis(t.acceptance.p50), millis(t.acceptance.p99), millis(t.acceptance.max), attackers)
	}
	b.WriteString("\n| attack | responses in the turns |\n| --- | --- |\n")
	for _, t := range r.turns {
		if !t.attacked {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(t.answers)) {
			var answers []string
			for _, answer := range slices.Sorted(maps.Keys(t.answers[name])) {
				answers = append(answers, fmt.Sprintf("%d × %s", t.answers[name][answer], answer))
			}
			fmt.Fprintf(&b, "| %s | %s |\n", name, strings.Join(answers, ", "))
		}
	}
	p99 := func(m measured) float64 { return float64(m.acceptance.p99) }
	fmt.Fprintf(&b, "\nMedians: %.1f %% of the accepted rate remains; p99 %s ms without the attack, %s ms with it.\n", 100*r.kept(),
		millis(time.Duration(r.medians(false, p99))), millis(time.Duration(r.medians(true, p99))))
	return b.String()
}
