package destination

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/secret"
)

// rotationTime is how long the old signing secret is used together with the new one.
const rotationTime = 24 * time.Hour

// AddDestination creates a destination with its own signing secret, which is not shown again.
// It returns all violations in one fault.Invalid.
func (s *Store) AddDestination(ctx context.Context, tx *database.Tx, integrationID string, c contract.DestinationConfig) (contract.NewDestination, error) {
	d := &Destination{ID: id.New(), IntegrationID: integrationID, Mode: contract.ModeCanonical, IsActive: true}
	if err := s.take(d, c); err != nil {
		return contract.NewDestination{}, err
	}
	made := contract.NewDestination{ID: d.ID, SigningSecret: newSigningSecret()}
	sealed, err := s.sealer.Seal(d.place(columnSigning), secret.New(made.SigningSecret))
	if err != nil {
		return contract.NewDestination{}, fmt.Errorf("seal the signing secret: %w", err)
	}
	if err := d.seal(s.sealer); err != nil {
		return contract.NewDestination{}, err
	}
	row := database.NewRows("id uuid", "integration_id uuid", "url text", "is_active boolean", "mode text", "filter text",
		"transform text", "headers text", "auth text", "tls text", "signing_secret text", "timeout_ms bigint", "max_attempts bigint",
		"retry_base_ms bigint", "retry_cap_ms bigint", "concurrency bigint", "rate_per_second bigint", "trace_propagation boolean", "created_at timestamptz", "updated_at timestamptz")
	row.Add(d.ID, integrationID, d.URL, d.IsActive, string(d.Mode), httpapi.OrNull(d.Filter), httpapi.OrNull(d.Transform), d.SealedHeaders, d.SealedAuth,
		d.SealedTLS, sealed, d.TimeoutMS, d.MaxAttempts, d.RetryBaseMS, d.RetryCapMS, d.Concurrency, d.Rate, d.TracePropagation, tx.Now, tx.Now)
	if err := tx.Insert(ctx, "destinations", row); err != nil {
		return contract.NewDestination{}, fmt.Errorf("insert a destination: %w", err)
	}
	return made, s.changed(ctx, tx, d, "destination.created", map[string]any{"host": origin(d.URL)})
}

// seal encrypts d's sealed columns.
func (d *Destination) seal(s Sealer) (err error) {
	if d.SealedHeaders, err = sealJSON(s, d.place(columnHeaders), d.headers, len(d.headers) == 0); err != nil {
		return fmt.Errorf("seal the headers: %w", err)
	}
	if d.SealedAuth, err = sealJSON(s, d.place(columnAuth), d.auth, d.auth.kind() == authNone); err != nil {
		return fmt.Errorf("seal the credential: %w", err)
	}
	if d.SealedTLS, err = sealJSON(s, d.place(columnTLS), d.tls, d.tls.empty()); err != nil {
		return fmt.Errorf("seal the TLS configuration: %w", err)
	}
	return nil
}

const selectDestinationSQL = `
SELECT ` + columns + `
FROM   destinations d
WHERE  d.id = $1 AND d.integration_id = $2 AND d.archived_at IS NULL`

// locked reads and locks a destination for a change. It returns fault.NotFound if the
// integration has no such destination.
func (s *Store) locked(ctx context.Context, tx *database.Tx, integrationID, destinationID string) (*Destination, error) {
	d := &Destination{}
	err := tx.Get(ctx, d, selectDestinationSQL+tx.Dialect.ForUpdate, destinationID, integrationID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, fault.NotFound.New("destination_not_found", "The integration has no destination %s.", destinationID)
	case err != nil:
		return nil, fmt.Errorf("read destination %s: %w", destinationID, err)
	}
	return d, nil
}

// opened is locked with the sealed columns decrypted. It returns a conflict if that fails.
func (s *Store) opened(ctx context.Context, tx *database.Tx, integrationID, destinationID string) (*Destination, error) {
	d, err := s.locked(ctx, tx, integrationID, destinationID)
	if err != nil {
		return nil, err
	}
	if err := d.unseal(s.sealer, tx.Now, &Destination{}); err != nil {
		return nil, fault.Conflict.Wrap(err, "destination_broken",
			"The secrets of the destination %s cannot be decrypted with the current keys. Restore the old key, or remove the destination and add it again.", d.ID)
	}
	return d, nil
}

const updateDestinationSQL = `
UPDATE destinations
SET    url = $2, is_active = $3, mode = $4, filter = $5, transform = $6, headers = $7, auth = $8, timeout_ms = $9, max_attempts = $10,
       retry_base_ms = $11, retry_cap_ms = $12, concurrency = $13, rate_per_second = $14, tls = $16, trace_propagation = $17, paused_at = $18, paused_by = $19, pause_reason = $20, paused_until = $21,
       wants_all_since = CASE WHEN filter IS NOT NULL AND CAST($5 AS text) IS NULL THEN $15 ELSE wants_all_since END, updated_at = $15
WHERE  id = $1`

// ChangeDestination changes the fields that c sets; waiting jobs use the new values. Its errors
// are those of AddDestination, and fault.NotFound if the integration has no such destination.
func (s *Store) ChangeDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, c contract.DestinationConfig) error {
	d, err := s.opened(ctx, tx, integrationID, destinationID)
	if err != nil {
		return err
	}
	before := *d
	if err := s.take(d, c); err != nil {
		return err
	}
	if before.IsActive != d.IsActive {
		d.switched(ctx, tx.Now, contract.PauseOrder{})
	}
	if err := d.seal(s.sealer); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, updateDestinationSQL, d.ID, d.URL, d.IsActive, string(d.Mode), httpapi.OrNull(d.Filter), httpapi.OrNull(d.Transform),
		d.SealedHeaders, d.SealedAuth, d.TimeoutMS, d.MaxAttempts, d.RetryBaseMS, d.RetryCapMS, d.Concurrency, d.Rate, tx.Now, d.SealedTLS, d.TracePropagation,
		d.PausedAt, d.PausedBy, d.PauseReason, d.PausedUntil); err != nil {
		return fmt.Errorf("change destination %s: %w", d.ID, err)
	}
	return s.changed(ctx, tx, d, "destination.changed", moved(&before, d, map[string]any{"fields": named(c)}))
}

// named returns the fields that c changes. Values other than hosts stay out of the audit
// trail, since some are secret.
func named(c contract.DestinationConfig) []string {
	fields := []string{}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"url", c.URL != nil}, {"mode", c.Mode != nil}, {"filter", c.Filter != nil}, {"transform", c.Transform != nil},
		{"headers", c.Headers != nil}, {"auth", c.Auth != nil}, {"tls", c.TLS != nil}, {"policy", c.Policy != nil}, {"tracePropagation", c.TracePropagation != nil}, {"isActive", c.IsActive != nil},
	} {
		if f.set {
			fields = append(fields, f.name)
		}
	}
	return fields
}

const rotateSQL = `
UPDATE destinations SET old_secret = $5, old_secret_until = $2, signing_secret = $3, updated_at = $4
WHERE  id = $1`

// RotateSigningSecret creates a new signing secret, which is not shown again. The previous one
// is also used for a day; older ones are not.
func (s *Store) RotateSigningSecret(ctx context.Context, tx *database.Tx, integrationID, destinationID string) (string, error) {
	d, err := s.opened(ctx, tx, integrationID, destinationID)
	if err != nil {
		return "", err
	}
	signingSecret := newSigningSecret()
	sealed, err := s.sealer.Seal(d.place(columnSigning), secret.New(signingSecret))
	if err != nil {
		return "", fmt.Errorf("seal the signing secret: %w", err)
	}
	// What is sealed opens in its own column alone, so the old secret is sealed for its new one.
	old, err := s.sealer.Seal(d.place(columnOldSecret), d.secrets[0])
	if err != nil {
		return "", fmt.Errorf("seal the old signing secret: %w", err)
	}
	until := tx.Now.Add(rotationTime)
	if _, err := tx.Exec(ctx, rotateSQL, d.ID, until, sealed, tx.Now, old); err != nil {
		return "", fmt.Errorf("rotate the secret of destination %s: %w", d.ID, err)
	}
	return signingSecret, s.changed(ctx, tx, d, "destination.secret_rotated", map[string]any{"oldSignsUntil": clock.At(until)})
}

// changed reloads a destination in this process after the commit, and audits what was
// done with it.
func (s *Store) changed(ctx context.Context, tx *database.Tx, d *Destination, action string, details map[string]any) error {
	tx.AfterCommit(func() { s.cache.Changed(d.IntegrationID) })
	if details == nil {
		details = map[string]any{}
	}
	details["integrationId"] = d.IntegrationID
	text, _ := json.Marshal(details) // strings and numbers; cannot fail
	entry := contract.AuditEntry{EntityType: contract.EntityDestination, EntityID: &d.ID, Action: action, Actor: contract.ActorGateway, Details: text}
	if actor := httpapi.Actor(ctx); actor != "" {
		entry.Actor = actor
	}
	return s.auditor.Record(ctx, tx, []contract.AuditEntry{entry})
}

const archiveSQL = `
UPDATE destinations SET archived_at = $2, open_jobs = $3, updated_at = $2
WHERE  id = $1`

const selectOpenSQL = `
SELECT ` + columns + `
FROM   destinations d
WHERE  d.integration_id = $1 AND d.archived_at IS NULL
ORDER  BY d.id`

// Archive archives a destination: no new job is made for it, and its history stays.
// fault.NotFound when the integration has no such destination.
func (s *Store) Archive(ctx context.Context, tx *database.Tx, integrationID, destinationID string, jobs contract.OpenJobs) error {
	d, err := s.locked(ctx, tx, integrationID, destinationID)
	if err != nil {
		return err
	}
	return s.archive(ctx, tx, d, jobs)
}

// ArchiveAll archives all destinations of an integration, and gives their ids.
func (s *Store) ArchiveAll(ctx context.Context, tx *database.Tx, integrationID string, jobs contract.OpenJobs) (ids []string, err error) {
	var list []Destination
	if err := tx.Select(ctx, &list, selectOpenSQL+tx.Dialect.ForUpdate, integrationID); err != nil {
		return nil, fmt.Errorf("read the destinations of integration %s: %w", integrationID, err)
	}
	for i := range list {
		d := &list[i]
		if err := s.archive(ctx, tx, d, jobs); err != nil {
			return nil, err
		}
		ids = append(ids, d.ID)
	}
	return ids, nil
}

func (s *Store) archive(ctx context.Context, tx *database.Tx, d *Destination, jobs contract.OpenJobs) error {
	if _, err := tx.Exec(ctx, archiveSQL, d.ID, tx.Now, string(jobs)); err != nil {
		return fmt.Errorf("archive destination %s: %w", d.ID, err)
	}
	return s.changed(ctx, tx, d, "destination.removed", map[string]any{"openJobs": jobs, "host": origin(d.URL)})
}
