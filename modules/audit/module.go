// Package audit keeps what happened: an append-only record of every step of an
// event, of every replay, and, in sum, of the requests that were refused. It owns
// audit_entries and audit_seals. It never changes or removes an entry, it seals them so
// that nobody else does unnoticed, and it refuses details that are not a JSON object.
package audit

import (
	"log/slog"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// Config says how often refusals are written and how long the last write may take, and
// how the trail is sealed.
type Config struct {
	FlushEvery    time.Duration // default 500 ms
	ShutdownGrace time.Duration // default 5 s

	SealEvery time.Duration // default 10 s
	// Settle is how old an entry is when it is sealed: more than clocks differ and than most
	// transactions last. Default 60 s.
	Settle time.Duration
	// Late is how long after a seal entries may still commit in its range and be sealed, as
	// late ones: more than any transaction lasts. Default 10 min.
	Late time.Duration
	// SealKeys verify seals; the first one makes them. None: seals have no key.
	SealKeys []SealKey
}

func (c Config) sealKey() SealKey {
	if len(c.SealKeys) == 0 {
		return SealKey{}
	}
	return c.SealKeys[0]
}

// keyOf gives the key of a seal; false where this process does not have it.
func (c Config) keyOf(keyID string) (SealKey, bool) {
	for _, k := range c.SealKeys {
		if k.ID == keyID {
			return k, true
		}
	}
	return SealKey{}, keyID == ""
}

// Deps is everything audit needs from the outside.
type Deps struct {
	DB  *database.DB
	Log *slog.Logger
	Now clock.Now
}

// Module is the audit trail.
type Module struct {
	cfg      Config
	db       *database.DB
	log      *slog.Logger
	now      clock.Now
	refusals *tally
	swept    int64 // of Seal: the last seal that was looked at again
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	if cfg.FlushEvery == 0 {
		cfg.FlushEvery = 500 * time.Millisecond
	}
	if cfg.ShutdownGrace == 0 {
		cfg.ShutdownGrace = 5 * time.Second
	}
	if cfg.SealEvery == 0 {
		cfg.SealEvery = 10 * time.Second
	}
	if cfg.Settle == 0 {
		cfg.Settle = time.Minute
	}
	if cfg.Late == 0 {
		cfg.Late = 10 * time.Minute
	}
	return &Module{cfg: cfg, db: d.DB, log: d.Log.With("module", "audit"), now: d.Now, refusals: newTally()}
}

// Routes registers the module's routes.
func (m *Module) Routes(r httpapi.Routes) {
	r.Viewer.GET("/audit-entries", m.list)
}
