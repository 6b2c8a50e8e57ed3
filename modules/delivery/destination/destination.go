package destination

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/secret"
)

// BreakerState is the state of a destination's circuit breaker, as it is stored and shown.
// Without a row the breaker is closed.
type BreakerState string

// The states of a breaker.
const (
	BreakerClosed   BreakerState = "closed"    // deliveries flow
	BreakerOpen     BreakerState = "open"      // its jobs are parked until the next probe
	BreakerHalfOpen BreakerState = "half_open" // one probe is running
)

// Destination is a row of destinations with its decoded parts. Destinations from a Cache are
// shared and immutable.
type Destination struct {
	ID             string                   `db:"id"`
	IntegrationID  string                   `db:"integration_id"`
	URL            string                   `db:"url"`
	IsActive       bool                     `db:"is_active"`
	Mode           contract.DestinationMode `db:"mode"`
	Filter         string                   `db:"filter"`    // "" for all events
	Transform      string                   `db:"transform"` // "" for the canonical event
	SealedHeaders  *string                  `db:"headers"`
	SealedAuth     *string                  `db:"auth"`
	SealedTLS      *string                  `db:"tls"`
	SigningSecret  string                   `db:"signing_secret"` // sealed, as is the next
	OldSecret      *string                  `db:"old_secret"`     // signs beside the new one while receivers change over
	OldSecretUntil *clock.Time              `db:"old_secret_until"`
	TimeoutMS      *int                     `db:"timeout_ms"`
	MaxAttempts    *int                     `db:"max_attempts"`
	RetryBaseMS    *int                     `db:"retry_base_ms"`
	RetryCapMS     *int                     `db:"retry_cap_ms"`
	Concurrency    *int                     `db:"concurrency"`
	Rate           *int                     `db:"rate_per_second"`
	ArchivedAt     *clock.Time              `db:"archived_at"`

	PausedAt    *clock.Time `db:"paused_at"` // nil for an active one, as the next
	PausedBy    *string     `db:"paused_by"`
	PauseReason *string     `db:"pause_reason"`
	PausedUntil *clock.Time `db:"paused_until"` // nil for no end

	TracePropagation bool `db:"trace_propagation"` // its requests carry the event's traceparent

	OpenJobs  *contract.OpenJobs `db:"open_jobs"` // whether they are finished or cancelled, once it is archived
	CreatedAt clock.Time         `db:"created_at"`
	UpdatedAt clock.Time         `db:"updated_at"`
	Revision  int64              `db:"revision"` // a new random number with each change

	Breaker      BreakerState `db:"breaker"`
	BreakerUntil *clock.Time  `db:"breaker_until"`

	secrets []secret.Value // the signing secrets, open: the current one and, in a rotation, the old one
	echoes  func() *echoes // what finds all of its secrets in its answers
	headers map[string]string
	auth    credential
	tls     tlsFiles
	own     *ownTLS // of tls; nil without any

	filter    func() filter // of Filter, compiled when it is first used; nil where there is none, as the next
	transform func() transform

	broken error // why the sealed columns cannot be decrypted; then jobs wait, and no other destination is affected
}

// Once returns what sends to a URL that is no destination: canonical events under a secret of its
// own, without any other setting.
func Once(url string, own secret.Value) *Destination {
	d := &Destination{URL: url, IsActive: true, Mode: contract.ModeCanonical, Breaker: BreakerClosed, secrets: []secret.Value{own}}
	d.findEchoes(&Destination{})
	return d
}

// Flows reports whether jobs may be sent; otherwise they are parked.
func (d *Destination) Flows() bool {
	return d.Open() && d.Breaker != BreakerOpen && d.broken == nil
}

// Open reports whether the destination is enabled.
func (d *Destination) Open() bool { return d.Finishing() || d.IsActive && d.ArchivedAt == nil }

// Finishing reports that it was archived and its open jobs are still sent, whatever the state
// of its integration.
func (d *Destination) Finishing() bool { return d.ArchivedAt != nil && !d.Cancelled() }

// Cancelled reports that it was archived and its open jobs are cancelled.
func (d *Destination) Cancelled() bool {
	return d.OpenJobs != nil && *d.OpenJobs == contract.CancelJobs
}

// Broken returns why its sealed columns cannot be decrypted, or nil.
func (d *Destination) Broken() error { return d.broken }

// Limited reports whether it has its own limits, which all processes share.
func (d *Destination) Limited() bool { return d.Concurrency != nil || d.Rate != nil }

// Headers returns the configured headers of each request.
func (d *Destination) Headers() map[string]string { return d.headers }

// Secrets returns the signing secrets at that time, the current one first.
func (d *Destination) Secrets(at time.Time) []secret.Value {
	if len(d.secrets) > 1 && d.OldSecretUntil != nil && !at.Before(d.OldSecretUntil.Time) {
		return d.secrets[:1]
	}
	return d.secrets
}

// Timeout returns its own timeout, or usual.
func (d *Destination) Timeout(usual time.Duration) time.Duration {
	return orDefault(d.TimeoutMS, usual)
}

// Backoff returns the delay after the first failure and the longest delay: its own, or the
// usual ones.
func (d *Destination) Backoff(base, longest time.Duration) (time.Duration, time.Duration) {
	return orDefault(d.RetryBaseMS, base), orDefault(d.RetryCapMS, longest)
}

func orDefault(millis *int, usual time.Duration) time.Duration {
	if millis != nil {
		return time.Duration(*millis) * time.Millisecond
	}
	return usual
}

// unseal decrypts the destination's sealed columns. before is its previous version, or the
// zero value.
func (d *Destination) unseal(s Sealer, now time.Time, before *Destination) error {
	sealed := map[string]string{columnSigning: d.SigningSecret}
	columns := []string{columnSigning}
	if d.OldSecret != nil && (d.OldSecretUntil == nil || now.Before(d.OldSecretUntil.Time)) {
		sealed[columnOldSecret], columns = *d.OldSecret, append(columns, columnOldSecret)
	}
	for _, column := range columns {
		value, err := s.Open(d.place(column), sealed[column])
		if err != nil {
			return fmt.Errorf("open the signing secret of destination %s: %w", d.ID, err)
		}
		d.secrets = append(d.secrets, value)
	}
	if err := unsealJSON(s, d.place(columnHeaders), d.SealedHeaders, &d.headers); err != nil {
		return fmt.Errorf("open the headers of destination %s: %w", d.ID, err)
	}
	if err := unsealJSON(s, d.place(columnAuth), d.SealedAuth, &d.auth); err != nil {
		return fmt.Errorf("open the credential of destination %s: %w", d.ID, err)
	}
	d.findEchoes(before)
	return d.unsealTLS(s, before)
}

// shown returns the destination without its write-only fields.
func (d *Destination) shown() contract.Destination {
	return contract.Destination{ID: d.ID, IntegrationID: d.IntegrationID, URL: d.URL, IsActive: d.IsActive, Pause: d.pause(), Mode: d.Mode,
		Filter: d.Filter, Transform: d.Transform, TracePropagation: d.TracePropagation, Headers: slices.Sorted(maps.Keys(d.headers)), Auth: d.auth.kind(),
		Policy: contract.DestinationPolicy{TimeoutMS: d.TimeoutMS, MaxAttempts: d.MaxAttempts, RetryBaseMS: d.RetryBaseMS,
			RetryCapMS: d.RetryCapMS, Concurrency: d.Concurrency, RatePerSecond: d.Rate},
		Breaker: string(d.Breaker), CreatedAt: d.CreatedAt.Time, UpdatedAt: d.UpdatedAt.Time}
}
