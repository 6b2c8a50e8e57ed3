package tracing

import "math"

// Sampler chooses the events that are traced.
type Sampler struct{ threshold uint64 }

// randomBits is how much of an event's id is random for sampling: its last 56 bits, as in W3C's
// Trace Context.
const randomBits = 56

// never is above all values of randomBits.
const never = 1 << randomBits

// Sample makes a sampler of a share of all events, from 0 to 1. Those of a smaller share are
// among those of a larger one.
// https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
func Sample(share float64) Sampler {
	return Sampler{threshold: uint64(math.Round((1 - min(max(share, 0), 1)) * never))}
}

// samples reports whether an event is traced. Text that is no id is not.
func (s Sampler) samples(eventID string) bool {
	value, ok := randomness(eventID)
	return ok && value >= s.threshold
}

// randomness returns the last 56 bits of a UUID in its canonical form.
func randomness(id string) (value uint64, ok bool) {
	if len(id) != 36 || id[23] != '-' {
		return 0, false
	}
	for i := 21; i < len(id); i++ {
		var digit byte
		switch c := id[i]; {
		case i == 23:
			continue
		case c >= '0' && c <= '9':
			digit = c - '0'
		case c >= 'a' && c <= 'f':
			digit = c - 'a' + 10
		default:
			return 0, false
		}
		value = value<<4 | uint64(digit)
	}
	return value, true
}
