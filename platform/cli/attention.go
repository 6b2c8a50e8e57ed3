package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"integration-gateway/platform/cli/output"
)

func numberAt(of map[string]any, path string) float64 {
	n, _ := strconv.ParseFloat(output.TextAt(of, path), 64)
	return n
}

func secondsAt(of map[string]any, path string) time.Duration {
	return time.Duration(numberAt(of, path) * float64(time.Second))
}

// The bounds above which a lag needs attention.
const (
	lateDelivery = 5 * time.Minute
	lateOutbox   = time.Minute
	lateSeals    = 10 * time.Minute
)

// note is something that a person should look at, and the command that shows it.
type note struct{ text, see string }

func (n note) String() string {
	if n.see == "" {
		return n.text
	}
	return n.text + "; see: " + n.see
}

// attention lists what a person should look at.
func attention(stats map[string]any) []note {
	var notes []note
	add := func(see, format string, args ...any) { notes = append(notes, note{fmt.Sprintf(format, args...), see}) }
	each := func(list string, do func(map[string]any)) {
		all, _ := stats[list].([]any)
		for _, one := range all {
			if item, is := one.(map[string]any); is {
				do(item)
			}
		}
	}
	each("destinations", func(d map[string]any) {
		name := output.TextAt(d, "name")
		if breaker := output.TextAt(d, "now.breaker"); breaker != "closed" && breaker != "" {
			add("gateway deliveries list --status failed --source "+output.TextAt(d, "source"), "%s: its breaker is %s%s", name, breaker, commonest(d, "over.1h.failedBy"))
		}
		if output.At(d, "now.paused") == true {
			end := "until it is resumed"
			if until := output.TextAt(d, "now.pausedUntil"); until != "" {
				end = "until " + until
			}
			add("gateway destinations show "+output.TextAt(d, "destinationId"), "%s: it is paused %s; deliveries that wait: %.0f", name, end, numberAt(d, "now.waiting")+numberAt(d, "now.parked"))
		}
		if late := secondsAt(d, "now.oldestDueSeconds"); late > lateDelivery {
			add("gateway stats", "%s: a delivery is due since %s", name, output.Span(late))
		}
	})
	each("sources", func(src map[string]any) {
		source := output.TextAt(src, "source")
		if n := numberAt(src, "now.deadLetters"); n > 0 {
			add("gateway dead-letters list --status open --source "+source, "%s: open dead letters: %.0f", source, n)
		}
		if n := numberAt(src, "now.quarantine"); n > 0 {
			add("gateway quarantine list --source "+source, "%s: %.0f in quarantine%s", source, n, commonest(src, "over.1h.refusedBy"))
		}
	})
	if late := secondsAt(stats, "gateway.outboxLagSeconds"); late > lateOutbox {
		add("", "jobs wait to be published since %s: look at the broker", output.Span(late))
	}
	if n := numberAt(stats, "gateway.spool.waiting"); n > 0 {
		add("", "webhooks wait at the broker to be stored: %.0f, the oldest for %s", n, output.Span(secondsAt(stats, "gateway.spool.oldestSeconds")))
	}
	if n := numberAt(stats, "gateway.spool.parked"); n > 0 {
		add("", "accepted webhooks that the database does not accept: %.0f; the logs say why", n)
	}
	if late := secondsAt(stats, "gateway.sealLagSeconds"); late > lateSeals {
		add("", "audit entries wait for their seal since %s", output.Span(late))
	}
	if output.At(stats, "gateway.consistencyCheck.holds") == false {
		add("gateway verify", "the last consistency check found problems")
	}
	return notes
}

// commonest names what happened most in the last hour, of counts by name; "" if nothing did.
func commonest(of map[string]any, path string) string {
	counts, _ := output.At(of, path).(map[string]any)
	name, most := "", 0.0
	for _, n := range slices.Sorted(maps.Keys(counts)) {
		if c := numberAt(counts, n); c > most {
			name, most = n, c
		}
	}
	if name == "" {
		return ""
	}
	return fmt.Sprintf(", in the last hour mostly for %s (%.0f)", name, most)
}
