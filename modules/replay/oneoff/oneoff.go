// Package oneoff sends replayed events to URLs that are no destinations, each for one bulk
// replay or one replay request. It owns replay_urls and, of the requests that go there, when each is
// due and what its attempts came to.
//
// Whoever finds a request due claims it until a time by which its attempt must have been recorded;
// after that it is due again. So any process may send, and one that dies leaves nothing behind
// but an attempt that is made again. What is sent here is no delivery of the event: it leaves the
// event's status, jobs and attempts alone.
package oneoff

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"integration-gateway/platform/batch"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// Config holds intervals and bounds. New replaces zero values with the defaults.
type Config struct {
	Look   time.Duration // between looks for due requests; default 250 ms
	Claim  time.Duration // from a claim until the request is due again, at least as long as an attempt may take; default 1 minute
	Grace  time.Duration // for attempts under way when the process stops; default 10 s
	PerURL int           // attempts under way to one URL; default 32
	All    int           // attempts under way in this process; default 128
}

// Deliveries makes the attempts.
type Deliveries interface {
	// SendOnce makes one attempt and stores nothing. An error says that there was none, or
	// that its result is unknown.
	SendOnce(ctx context.Context, s contract.SendOnce) (contract.SentOnce, error)
	// CheckURL returns what is wrong with a URL to send events to, under a field's name.
	CheckURL(field, url string) []fault.Field
}

// Requests records the ends of requests.
type Requests interface {
	Ended(ctx context.Context, tx *database.Tx, ends []contract.ReplayEnd) error
}

// Sealer encrypts signing secrets for their rows.
type Sealer interface {
	// Seal encrypts a value for a place; Open decrypts it only for the same place.
	Seal(at secret.Place, value secret.Value) (string, error)
	Open(at secret.Place, stored string) (secret.Value, error)
}

// Deps is everything that one-off sends need from the outside.
type Deps struct {
	DB         *database.DB
	Log        *slog.Logger
	Now        clock.Now // the database's clock, as the processes agree on it
	Deliveries Deliveries
	Requests   Requests
	Sealer     Sealer
}

// Sender sends the requests that go to URLs.
type Sender struct {
	cfg     Config
	d       Deps
	results *batch.Group[result, struct{}]
}

// New wires the package; it starts nothing.
func New(cfg Config, d Deps) *Sender {
	cfg.Look = cmp.Or(cfg.Look, 250*time.Millisecond)
	cfg.Claim = cmp.Or(cfg.Claim, time.Minute)
	cfg.Grace = cmp.Or(cfg.Grace, 10*time.Second)
	cfg.PerURL = cmp.Or(cfg.PerURL, 32)
	cfg.All = cmp.Or(cfg.All, 128)
	d.Log = d.Log.With("module", "replay")
	s := &Sender{cfg: cfg, d: d}
	s.results = batch.NewGroup(batch.Config[result]{Runners: 1, MaxItems: 256}, s.recordAll)
	return s
}
