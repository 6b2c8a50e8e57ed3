// Package audit records what happened: an append-only log of every step of an event and of
// every replay, and the counts of refused requests. It owns audit_entries,
// audit_groups and audit_seals.
// It never changes or removes an entry, seals entries so that tampering is detected, and
// refuses details that are not a JSON object.
package audit

import (
	"log/slog"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/httpapi"
)

// Config holds the intervals for writing refusals and for sealing the trail, and the seal
// keys.
type Config struct {
	FlushEvery    time.Duration // default 500 ms
	ShutdownGrace time.Duration // default 5 s

	SealEvery time.Duration // default 2 s
	// SealAfter is the age at which an entry is sealed. It exceeds the duration of most
	// transactions. An entry that is deleted before it is sealed is not noticed. Default 2
	// s.
	SealAfter time.Duration
	// RecheckAfter is how long after a seal its range is checked for late entries. It
	// exceeds the usual clock differences. Default 1 min.
	RecheckAfter time.Duration
	// FinalCheckAfter is how long after a seal late entries may still commit in its range
	// and get a late seal. It exceeds the duration of any transaction. Default 10 min.
	FinalCheckAfter time.Duration
	// SealKeys verify seals; the first one makes them. Without any, seals have no key.
	SealKeys []SealKey
}

func (c Config) sealKey() SealKey {
	if len(c.SealKeys) == 0 {
		return SealKey{}
	}
	return c.SealKeys[0]
}

// keyOf returns the key of a seal; false if this process does not have it.
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
	// Sources names the sources of entries that are about integrations; nil for none.
	Sources Sources
	// Events tells which events a key of some sources may see the entries of; nil for none.
	Events Events
	// Metrics may be nil.
	Metrics Metrics
}

// Metrics counts what is seen of the seals.
type Metrics interface {
	// SealsLost counts that seals were gone that this process had seen.
	SealsLost()
}

type noMetrics struct{}

func (noMetrics) SealsLost() {}

// Module is the audit trail.
type Module struct {
	cfg       Config
	db        *database.DB
	log       *slog.Logger
	now       clock.Now
	sources   Sources
	events    Events
	refusals  *tally
	swept     int64 // of Seal: the last seal that was checked after Config.FinalCheckAfter
	rechecked int64 // of Seal: the last seal that was checked after Config.RecheckAfter
	seen      seen  // of Seal: the newest seal
	metrics   Metrics
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
		cfg.SealEvery = 2 * time.Second
	}
	if cfg.SealAfter == 0 {
		cfg.SealAfter = 2 * time.Second
	}
	if cfg.RecheckAfter == 0 {
		cfg.RecheckAfter = time.Minute
	}
	if cfg.FinalCheckAfter == 0 {
		cfg.FinalCheckAfter = 10 * time.Minute
	}
	if d.Metrics == nil {
		d.Metrics = noMetrics{}
	}
	return &Module{cfg: cfg, metrics: d.Metrics, db: d.DB, log: d.Log.With("module", "audit"), now: d.Now, sources: d.Sources, events: d.Events, refusals: newTally(), rechecked: notStarted}
}

// Routes registers the module's routes.
func (m *Module) Routes(r httpapi.Routes) {
	r.Viewer.Scoped().GET("/audit-entries", m.list, listSpec)
}
