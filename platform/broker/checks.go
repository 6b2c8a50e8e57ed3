package broker

import (
	"errors"
	"fmt"

	"integration-gateway/platform/fault"
)

// The checks of both drivers for messages and consumers that violate broker.go. Violations
// are bugs in this program, so the errors stay unclassified.

func checkMessage(m Message) error {
	switch m.Queue {
	case Process, Replay, Dead, Spool, SpoolParked:
	default:
		return fmt.Errorf("publish: unknown queue %q", m.Queue)
	}
	if m.Delay > 0 && m.Queue != Process {
		return fmt.Errorf("publish: only %q supports a delay, not %q", Process, m.Queue)
	}
	if m.Delay > MaxDelay {
		return fmt.Errorf("publish: a delay of %s is longer than %s; let it wait in the database", m.Delay, MaxDelay)
	}
	return nil
}

func checkConsumer(q Queue, prefetch int) error {
	const most = 1<<16 - 1 // AMQP 0-9-1, basic.qos: a short
	if checkMessage(Message{Queue: q}) != nil {
		return fmt.Errorf("consume: unknown queue %q", q)
	}
	if prefetch < 1 || prefetch > most {
		return fmt.Errorf("consume: prefetch is %d; it must be 1 to %d", prefetch, most)
	}
	return nil
}

// check reports all problems of the names.
func (n Names) check() error {
	var wrong []error
	seen := map[string]string{}
	for _, named := range []struct{ role, name string }{
		{"process", n.Process}, {"retry", n.Retry}, {"replay", n.Replay}, {"dead", n.Dead},
	} {
		switch other, twice := seen[named.name]; {
		case named.name == "":
			wrong = append(wrong, fmt.Errorf("the %s queue has no name", named.role))
		case len(named.name) > maxName:
			wrong = append(wrong, fmt.Errorf("the name of the %s queue is longer than %d bytes", named.role, maxName))
		case twice:
			wrong = append(wrong, fmt.Errorf("the %s and the %s queue are both called %q", other, named.role, named.name))
		}
		seen[named.name] = named.role
	}
	for _, q := range []Queue{Spool, SpoolParked} {
		if other, twice := seen[n.role(q)]; twice && n.Spool != "" {
			wrong = append(wrong, fmt.Errorf("the %s queue is called %q, like a queue of the spool", other, n.role(q)))
		}
	}
	for _, r := range tiers {
		if role, taken := seen[n.delayQueue(r)]; taken {
			wrong = append(wrong, fmt.Errorf("the name of the %s queue, %q, is that of a delay queue", role, n.delayQueue(r)))
		}
	}
	return errors.Join(wrong...)
}

// maxName leaves space for the tier in AMQP's short string of 255 bytes.
const maxName = 240

var errClosed = errors.New("the broker was closed")

func shuttingDown() error {
	return fault.Unavailable.Wrap(errClosed, "broker_closed", "The gateway is shutting down")
}
