package delivery

import (
	"context"
	"fmt"
	"sync"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
)

// destination is a row of destinations.
type destination struct {
	ID            string     `db:"id"`
	IntegrationID string     `db:"integration_id"`
	URL           string     `db:"url"`
	IsActive      bool       `db:"is_active"`
	SigningSecret string     `db:"signing_secret"` // sealed, as is the next
	OldSecret     *string    `db:"old_secret"`     // signs beside the new one while receivers change over
	TimeoutMS     *int       `db:"timeout_ms"`
	MaxAttempts   *int       `db:"max_attempts"`
	RetryBaseMS   *int       `db:"retry_base_ms"`
	RetryCapMS    *int       `db:"retry_cap_ms"`
	Concurrency   *int       `db:"concurrency"`
	Rate          *int       `db:"rate_per_second"`
	CreatedAt     clock.Time `db:"created_at"`
	UpdatedAt     clock.Time `db:"updated_at"`

	Breaker      breakerState `db:"breaker"`
	BreakerUntil *clock.Time  `db:"breaker_until"`

	secrets []secret.Value // the signing secrets, open
}

// flows reports whether jobs may go there; otherwise they wait, parked.
func (d destination) flows() bool { return d.IsActive && d.Breaker != breakerOpen }

// unseal opens the destination's secrets.
func (d *destination) unseal(s Sealer) error {
	sealed := []string{d.SigningSecret}
	if d.OldSecret != nil {
		sealed = append(sealed, *d.OldSecret)
	}
	for _, text := range sealed {
		value, err := s.Open(text)
		if err != nil {
			return fmt.Errorf("open the signing secret of destination %s: %w", d.ID, err)
		}
		d.secrets = append(d.secrets, value)
	}
	return nil
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

const selectDestinationsSQL = `
SELECT d.id, d.integration_id, d.url, d.is_active, d.signing_secret, d.old_secret, d.timeout_ms, d.max_attempts,
       d.retry_base_ms, d.retry_cap_ms, d.concurrency, d.rate_per_second, d.created_at, d.updated_at,
       COALESCE(b.state, 'closed') AS breaker, b.until AS breaker_until
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

	mu            sync.Mutex
	readAt        time.Time
	byID          map[string]destination
	byIntegration map[string][]destination
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

// of gives the destinations of one integration. An integration without any is
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
	d.readAt = at
	d.byID = make(map[string]destination, len(all))
	d.byIntegration = make(map[string][]destination)
	for _, dest := range all {
		if err := dest.unseal(d.sealer); err != nil {
			return err
		}
		d.byID[dest.ID] = dest
		d.byIntegration[dest.IntegrationID] = append(d.byIntegration[dest.IntegrationID], dest)
	}
	return nil
}

// Destinations gives the destinations of these integrations, oldest first.
func (m *Module) Destinations(ctx context.Context, integrationIDs []string) ([]contract.Destination, error) {
	list := []contract.Destination{}
	for _, integrationID := range integrationIDs {
		found, err := m.directory.of(ctx, integrationID)
		if err != nil {
			return nil, err
		}
		for _, d := range found {
			list = append(list, contract.Destination{ID: d.ID, IntegrationID: d.IntegrationID, URL: d.URL,
				IsActive: d.IsActive, Breaker: string(d.Breaker), CreatedAt: d.CreatedAt.Time, UpdatedAt: d.UpdatedAt.Time})
		}
	}
	return list, nil
}

// AddDestination makes an active destination with a signing secret of its own, and
// gives its id and the secret, which is not shown again.
func (m *Module) AddDestination(ctx context.Context, tx *database.Tx, integrationID, url string) (destinationID, signingSecret string, err error) {
	destinationID, signingSecret = id.New(), newSigningSecret()
	sealed, err := m.directory.sealer.Seal(secret.New(signingSecret))
	if err != nil {
		return "", "", fmt.Errorf("seal the signing secret: %w", err)
	}
	row := database.NewRows("id uuid", "integration_id uuid", "url text", "is_active boolean", "signing_secret text",
		"created_at timestamptz", "updated_at timestamptz")
	row.Add(destinationID, integrationID, url, true, sealed, tx.Now, tx.Now)
	tx.AfterCommit(m.directory.forget)
	return destinationID, signingSecret, tx.Insert(ctx, "destinations", row)
}

const moveDestinationSQL = `
UPDATE destinations SET url = $2, updated_at = $3
WHERE  id = $1`

// MoveDestination changes where a destination's events go.
func (m *Module) MoveDestination(ctx context.Context, tx *database.Tx, destinationID, url string) error {
	tx.AfterCommit(m.directory.forget)
	_, err := tx.Exec(ctx, moveDestinationSQL, destinationID, url, tx.Now)
	return err
}
