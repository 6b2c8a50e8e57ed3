package cache

import "time"

// Limit is the number of slots under a key, for all processes together.
type Limit struct {
	Key string
	Max int
	// TTL is how long a slot lasts. A held slot is released by its holder, and expires if
	// the holder died; any other slot lasts that long whatever its holder does.
	TTL  time.Duration
	Held bool
}

// Acquisition releases the slots of some holders, and then requests slots for others. A
// holder gets a slot under every limit or none, in the order of Holders; the first holder
// without a slot ends it. A holder that already has its slot keeps it, for TTL from now.
type Acquisition struct {
	Limits  []Limit
	Release []string // holders; only for limits with Held
	Holders []string
}

// Acquired is the result of an Acquisition.
type Acquired struct {
	N    int           // the first N holders have their slots
	Wait time.Duration // until a slot expires under a full limit; 0 if none was full
}
