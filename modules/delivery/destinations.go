package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"integration-gateway/modules/delivery/expression"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/secret"
)

// destination is a row of destinations.
type destination struct {
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
	OpenJobs       *contract.OpenJobs       `db:"open_jobs"` // what becomes of them, once it is archived
	CreatedAt      clock.Time               `db:"created_at"`
	UpdatedAt      clock.Time               `db:"updated_at"`

	Breaker      breakerState `db:"breaker"`
	BreakerUntil *clock.Time  `db:"breaker_until"`

	secrets []secret.Value // the signing secrets, open
	headers map[string]string
	auth    credential
	tls     tlsFiles
	own     *ownTLS // of tls; nil without any

	filter    filter // of Filter, where there is one, as the next
	transform transform

	broken error // why what is sealed cannot be opened; then jobs wait, and no other destination is affected
}

// flows reports whether jobs may go there; otherwise they wait, parked.
func (d destination) flows() bool {
	return d.open() && d.Breaker != breakerOpen && d.broken == nil
}

// open reports whether the operator lets jobs go there.
func (d destination) open() bool { return d.finishing() || d.IsActive && d.ArchivedAt == nil }

// finishing reports that it was archived and its open jobs are made all the same, whatever
// its integration is.
func (d destination) finishing() bool { return d.ArchivedAt != nil && !d.cancelled() }

// cancelled reports that it was archived and its open jobs end.
func (d destination) cancelled() bool {
	return d.OpenJobs != nil && *d.OpenJobs == contract.CancelJobs
}

// unseal opens what is sealed of the destination.
// before is the same destination as it was, or the zero value.
func (d *destination) unseal(s Sealer, now time.Time, before destination) error {
	sealed := []string{d.SigningSecret}
	if d.OldSecret != nil && (d.OldSecretUntil == nil || now.Before(d.OldSecretUntil.Time)) {
		sealed = append(sealed, *d.OldSecret)
	}
	for _, text := range sealed {
		value, err := s.Open(text)
		if err != nil {
			return fmt.Errorf("open the signing secret of destination %s: %w", d.ID, err)
		}
		d.secrets = append(d.secrets, value)
	}
	if err := unsealJSON(s, d.SealedHeaders, &d.headers); err != nil {
		return fmt.Errorf("open the headers of destination %s: %w", d.ID, err)
	}
	if err := unsealJSON(s, d.SealedAuth, &d.auth); err != nil {
		return fmt.Errorf("open the credential of destination %s: %w", d.ID, err)
	}
	return d.unsealTLS(s, before)
}

// shown is the destination without what is write-only.
func (d destination) shown() contract.Destination {
	return contract.Destination{ID: d.ID, IntegrationID: d.IntegrationID, URL: d.URL, IsActive: d.IsActive, Mode: d.Mode,
		Filter: d.Filter, Transform: d.Transform, Headers: slices.Sorted(maps.Keys(d.headers)), Auth: d.auth.kind(),
		Policy: contract.DestinationPolicy{TimeoutMS: d.TimeoutMS, MaxAttempts: d.MaxAttempts, RetryBaseMS: d.RetryBaseMS,
			RetryCapMS: d.RetryCapMS, Concurrency: d.Concurrency, RatePerSecond: d.Rate},
		Breaker: string(d.Breaker), CreatedAt: d.CreatedAt.Time, UpdatedAt: d.UpdatedAt.Time}
}

func (m *Module) timeout(d destination) time.Duration {
	if d.TimeoutMS != nil {
		return time.Duration(*d.TimeoutMS) * time.Millisecond
	}
	return m.cfg.Timeout
}

func (m *Module) policy(d destination) policy {
	p := policy{maxAttempts: m.cfg.MaxAttempts, base: m.cfg.RetryBase, cap: m.cfg.RetryCap}
	if d.MaxAttempts != nil {
		p.maxAttempts = *d.MaxAttempts
	}
	if d.RetryBaseMS != nil {
		p.base = time.Duration(*d.RetryBaseMS) * time.Millisecond
	}
	if d.RetryCapMS != nil {
		p.cap = time.Duration(*d.RetryCapMS) * time.Millisecond
	}
	return p
}

const destinationColumns = `d.id, d.integration_id, d.url, d.is_active, d.mode, COALESCE(d.filter, '') AS filter,
       COALESCE(d.transform, '') AS transform, d.headers, d.auth, d.tls, d.signing_secret, d.old_secret, d.old_secret_until,
       d.timeout_ms, d.max_attempts, d.retry_base_ms, d.retry_cap_ms, d.concurrency, d.rate_per_second, d.archived_at,
       d.open_jobs, d.created_at, d.updated_at`

const selectDestinationsSQL = `
SELECT ` + destinationColumns + `, COALESCE(b.state, 'closed') AS breaker, b.until AS breaker_until
FROM   destinations d
LEFT   JOIN destination_breakers b ON b.destination_id = d.id
ORDER  BY d.id`

// directoryAge is how old the directory's picture of destinations may be.
const directoryAge = time.Second

// directory is this process's picture of all destinations.
type directory struct {
	db     *database.DB
	now    clock.Now
	sealer Sealer
	sender Sender
	lang   expression.Language
	log    *slog.Logger

	mu            sync.Mutex
	readAt        time.Time
	byID          map[string]destination
	byIntegration map[string][]destination // without the archived ones
}

// get gives the destinations with these ids that exist.
func (d *directory) get(ctx context.Context, ids []string) (map[string]destination, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := func() bool {
		for _, id := range ids {
			if _, ok := d.byID[id]; !ok {
				return false
			}
		}
		return true
	}
	if err := d.refresh(ctx, known); err != nil {
		return nil, err
	}
	found := make(map[string]destination, len(ids))
	for _, id := range ids {
		if dest, ok := d.byID[id]; ok {
			found[id] = dest
		}
	}
	return found, nil
}

// of gives the destinations of one integration that are not archived. An integration without any is
// looked up anew each time: its first destination must be seen at once, or an
// event would be taken for one that nobody wants.
func (d *directory) of(ctx context.Context, integrationID string) ([]destination, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := func() bool { return len(d.byIntegration[integrationID]) > 0 }
	if err := d.refresh(ctx, known); err != nil {
		return nil, err
	}
	return d.byIntegration[integrationID], nil
}

// peek gives what is known of a destination without asking the database.
func (d *directory) peek(id string) destination {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byID[id]
}

func (d *directory) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.readAt = time.Time{}
}

func (d *directory) refresh(ctx context.Context, known func() bool) error {
	if d.now.Since(d.readAt) < directoryAge && known() {
		return nil
	}
	at := d.now()
	var all []destination
	if err := d.db.Select(ctx, &all, selectDestinationsSQL); err != nil {
		return fmt.Errorf("read destinations: %w", err)
	}
	before := d.byID
	d.readAt = at
	d.byID = make(map[string]destination, len(all))
	d.byIntegration = make(map[string][]destination)
	for _, dest := range all {
		was := before[dest.ID]
		dest.broken = dest.unseal(d.sealer, at, was)
		if dest.broken != nil && was.broken == nil {
			d.log.ErrorContext(ctx, "a destination's jobs wait: what is sealed of it cannot be opened", "destination_id", dest.ID, "error", dest.broken)
		}
		if was.own != dest.own {
			d.changedTLS(ctx, was, dest)
		}
		dest.compile(d.lang, was)
		d.byID[dest.ID] = dest
		if dest.ArchivedAt != nil {
			continue
		}
		d.byIntegration[dest.IntegrationID] = append(d.byIntegration[dest.IntegrationID], dest)
	}
	return nil
}

const selectRawDestinationsSQL = `
SELECT id
FROM   destinations
WHERE  integration_id = $1 AND mode = 'raw' AND archived_at IS NULL
ORDER  BY id`

// RawDestinations gives the ids of an integration's destinations in raw mode.
func (m *Module) RawDestinations(ctx context.Context, tx *database.Tx, integrationID string) (ids []string, err error) {
	if err := tx.Select(ctx, &ids, selectRawDestinationsSQL, integrationID); err != nil {
		return nil, fmt.Errorf("look up raw destinations: %w", err)
	}
	return ids, nil
}

// changedTLS ends the connections under a destination's former TLS configuration, and warns
// of what ends in the new one.
func (d *directory) changedTLS(ctx context.Context, was, now destination) {
	d.sender.Forget(was.trust())
	info := now.shownTLS(d.readAt)
	if info != nil && len(info.Warnings) > 0 {
		d.log.WarnContext(ctx, "a destination's certificates have to be renewed", "destination_id", now.ID, "warnings", info.Warnings)
	}
}

// Destinations gives the destinations of these integrations, oldest first, without those
// that were removed.
func (m *Module) Destinations(ctx context.Context, integrationIDs []string) ([]contract.Destination, error) {
	list := []contract.Destination{}
	for _, integrationID := range integrationIDs {
		found, err := m.directory.of(ctx, integrationID)
		if err != nil {
			return nil, err
		}
		for _, d := range found {
			shown := d.shown()
			shown.TLS = d.shownTLS(m.now())
			list = append(list, shown)
		}
	}
	return list, nil
}
