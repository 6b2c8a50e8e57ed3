package broker

import (
	"strconv"
	"time"
)

// tiers are the delays of the delay queues, one per retry tier. A queue releases messages
// only from its head, so a single queue for all delays would block behind the longest.
// Delays within a tier differ by less than a factor of two, so a message is late by less
// than its tier.
var tiers = [...]time.Duration{
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

// tierOf returns the tier for a delay: the longest tier that is not longer, or the shortest
// tier for shorter delays.
func tierOf(delay time.Duration) time.Duration {
	for i := len(tiers) - 1; i > 0; i-- {
		if delay >= tiers[i] {
			return tiers[i]
		}
	}
	return tiers[0]
}

// delayQueue names the delay queue of a tier: ig.events.retry.250ms, ig.events.retry.64s.
func (n Names) delayQueue(tier time.Duration) string {
	if tier < time.Second {
		return n.Retry + "." + strconv.FormatInt(tier.Milliseconds(), 10) + "ms"
	}
	return n.Retry + "." + strconv.FormatInt(int64(tier/time.Second), 10) + "s"
}

// expiration formats a delay for RabbitMQ: whole milliseconds, rounded up so that no
// message is early.
func expiration(delay time.Duration) string {
	return strconv.FormatInt(int64((delay+time.Millisecond-1)/time.Millisecond), 10)
}

// role returns the broker's name of a queue, or "" for an unknown queue.
func (n Names) role(q Queue) string {
	switch q {
	case Process:
		return n.Process
	case Replay:
		return n.Replay
	case Dead:
		return n.Dead
	case Spool:
		return n.Spool
	case SpoolParked:
		if n.Spool != "" {
			return n.Spool + ".parked"
		}
	}
	return ""
}
