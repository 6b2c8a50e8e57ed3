// Package destination manages destinations, for operators and for the data plane. It owns
// destinations, and reads destination_breakers, which delivery writes. A Store is for
// operators: it validates, plans and writes. A Cache is for the data plane: it holds all
// destinations in memory and loads unknown ones. A Client sends requests with a destination's
// credential and TLS configuration.
//
// It creates and ends no jobs; delivery does.
package destination

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"integration-gateway/modules/delivery/destination/expression"
	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/egress"
	"integration-gateway/platform/secret"
)

// Auditor writes the audit trail.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Sealer encrypts a destination's secrets for the database.
type Sealer interface {
	// Seal encrypts a value for a place; Open decrypts it only for the same place.
	Seal(at secret.Place, value secret.Value) (string, error)
	Open(at secret.Place, stored string) (secret.Value, error)
}

// Sender makes outbound requests; its errors are egress's.
type Sender interface {
	// Do sends req; own is the destination's TLS configuration, nil for the default.
	Do(req *http.Request, own *egress.TLS) (egress.Response, error)
	// Refuses returns why a URL's host is never connected to; 0 if that is only known when it
	// connects.
	Refuses(url string) egress.Refusal
	// Forget closes the connections of a TLS configuration that is no longer used.
	Forget(own *egress.TLS)
}

// Deps is everything that a Store and a Cache need from outside.
type Deps struct {
	DB      *database.DB
	Log     *slog.Logger
	Now     clock.Now
	Sender  Sender
	Sealer  Sealer
	Auditor Auditor
}

// Store is the operators' view of destinations.
type Store struct {
	db      *database.DB
	now     clock.Now
	sender  Sender
	sealer  Sealer
	auditor Auditor
	cache   *Cache
	lang    expression.Language
}

// New returns a store and a cache that sees the store's changes at once. It starts nothing.
func New(d Deps) (*Store, *Cache) {
	lang := expression.New()
	cache := newCache(d, lang)
	return &Store{db: d.DB, now: d.Now, sender: d.Sender, sealer: d.Sealer, auditor: d.Auditor, cache: cache, lang: lang}, cache
}

const selectRawDestinationsSQL = `
SELECT id
FROM   destinations
WHERE  integration_id = $1 AND mode = 'raw' AND archived_at IS NULL
ORDER  BY id`

// RawDestinations returns the ids of an integration's destinations in raw mode.
func (s *Store) RawDestinations(ctx context.Context, tx *database.Tx, integrationID string) (ids []string, err error) {
	if err := tx.Select(ctx, &ids, selectRawDestinationsSQL, integrationID); err != nil {
		return nil, fmt.Errorf("look up raw destinations: %w", err)
	}
	return ids, nil
}

// Destinations returns the destinations of these integrations, oldest first, without removed
// ones.
func (s *Store) Destinations(ctx context.Context, integrationIDs []string) ([]contract.Destination, error) {
	found, err := s.cache.OfAll(ctx, integrationIDs)
	if err != nil {
		return nil, err
	}
	list := []contract.Destination{}
	for _, integrationID := range integrationIDs {
		for _, d := range found[integrationID] {
			shown := d.shown()
			shown.TLS = d.shownTLS(s.now())
			list = append(list, shown)
		}
	}
	return list, nil
}
