package broker

import (
	"strconv"
	"time"
)

// rungs are the delays of the retry ladder's queues. A queue lets go of its
// messages from the head only, so one queue for all delays would block behind the
// longest. Within a rung, delays are less than a factor of two apart: a message
// comes late by less than its rung.
var rungs = [...]time.Duration{
	250 * time.Millisecond,
	500 * time.Millisecond,
	1 * time.Second,
	2 * time.Second,
	4 * time.Second,
	8 * time.Second,
	16 * time.Second,
	32 * time.Second,
	64 * time.Second,
}

// rung is where a message of this delay waits: the longest rung that is not
// longer than it, and the shortest for all that is shorter still.
func rung(delay time.Duration) time.Duration {
	for i := len(rungs) - 1; i > 0; i-- {
		if delay >= rungs[i] {
			return rungs[i]
		}
	}
	return rungs[0]
}

// rungQueue names the queue of a rung: ig.events.retry.250ms, ig.events.retry.64s.
func (n Names) rungQueue(rung time.Duration) string {
	if rung < time.Second {
		return n.Retry + "." + strconv.FormatInt(rung.Milliseconds(), 10) + "ms"
	}
	return n.Retry + "." + strconv.FormatInt(int64(rung/time.Second), 10) + "s"
}

// expiration is a delay in RabbitMQ's words: whole milliseconds, rounded up so that
// no message comes before its time.
func expiration(delay time.Duration) string {
	return strconv.FormatInt(int64((delay+time.Millisecond-1)/time.Millisecond), 10)
}

// role gives the broker's name of a queue, or "" for a queue there is none of.
func (n Names) role(q Queue) string {
	switch q {
	case Process:
		return n.Process
	case Replay:
		return n.Replay
	case Dead:
		return n.Dead
	}
	return ""
}
