package delivery

import (
	"context"
	"database/sql"
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

// rotationTime is how long the old signing secret signs beside the new one.
const rotationTime = 24 * time.Hour

// AddDestination makes a destination with a signing secret of its own, which is not shown
// again. Its mistakes are one fault.Invalid with a field for each.
func (m *Module) AddDestination(ctx context.Context, tx *database.Tx, integrationID string, c contract.DestinationConfig) (contract.NewDestination, error) {
	d := destination{ID: id.New(), IntegrationID: integrationID, Mode: contract.ModeCanonical, IsActive: true}
	if err := m.take(&d, c); err != nil {
		return contract.NewDestination{}, err
	}
	made := contract.NewDestination{ID: d.ID, SigningSecret: newSigningSecret()}
	sealed, err := m.directory.sealer.Seal(secret.New(made.SigningSecret))
	if err != nil {
		return contract.NewDestination{}, fmt.Errorf("seal the signing secret: %w", err)
	}
	if err := d.seal(m.directory.sealer); err != nil {
		return contract.NewDestination{}, err
	}
	row := database.NewRows("id uuid", "integration_id uuid", "url text", "is_active boolean", "mode text", "filter text",
		"transform text", "headers text", "auth text", "tls text", "signing_secret text", "timeout_ms bigint", "max_attempts bigint",
		"retry_base_ms bigint", "retry_cap_ms bigint", "concurrency bigint", "rate_per_second bigint", "created_at timestamptz", "updated_at timestamptz")
	row.Add(d.ID, integrationID, d.URL, d.IsActive, string(d.Mode), orNull(d.Filter), orNull(d.Transform), d.SealedHeaders, d.SealedAuth,
		d.SealedTLS, sealed, d.TimeoutMS, d.MaxAttempts, d.RetryBaseMS, d.RetryCapMS, d.Concurrency, d.Rate, tx.Now, tx.Now)
	if err := tx.Insert(ctx, "destinations", row); err != nil {
		return contract.NewDestination{}, fmt.Errorf("insert a destination: %w", err)
	}
	return made, m.changed(ctx, tx, d, "destination.created", nil)
}

// seal closes what is kept sealed of d's configuration.
func (d *destination) seal(s Sealer) (err error) {
	if d.SealedHeaders, err = sealJSON(s, d.headers, len(d.headers) == 0); err != nil {
		return fmt.Errorf("seal the headers: %w", err)
	}
	if d.SealedAuth, err = sealJSON(s, d.auth, d.auth.kind() == authNone); err != nil {
		return fmt.Errorf("seal the credential: %w", err)
	}
	if d.SealedTLS, err = sealJSON(s, d.tls, d.tls.empty()); err != nil {
		return fmt.Errorf("seal the TLS configuration: %w", err)
	}
	return nil
}

const selectDestinationSQL = `
SELECT ` + destinationColumns + `
FROM   destinations d
WHERE  d.id = $1 AND d.integration_id = $2 AND d.archived_at IS NULL`

// locked reads and locks a destination that is to be changed; fault.NotFound when the
// integration has no such one.
func (m *Module) locked(ctx context.Context, tx *database.Tx, integrationID, destinationID string) (d destination, err error) {
	err = tx.Get(ctx, &d, selectDestinationSQL+tx.Dialect.ForUpdate, destinationID, integrationID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return d, fault.NotFound.New("destination_not_found", "The integration has no destination %s.", destinationID)
	case err != nil:
		return d, fmt.Errorf("read destination %s: %w", destinationID, err)
	}
	return d, nil
}

// opened is locked with what is sealed of the destination; a conflict where that cannot be
// opened.
func (m *Module) opened(ctx context.Context, tx *database.Tx, integrationID, destinationID string) (destination, error) {
	d, err := m.locked(ctx, tx, integrationID, destinationID)
	if err != nil {
		return d, err
	}
	if err := d.unseal(m.directory.sealer, tx.Now, destination{}); err != nil {
		return d, fault.Conflict.Wrap(err, "destination_broken",
			"What is sealed of the destination %s cannot be opened with the keys that there are; give the old key back, or remove the destination and add it anew.", d.ID)
	}
	return d, nil
}

const updateDestinationSQL = `
UPDATE destinations
SET    url = $2, is_active = $3, mode = $4, filter = $5, transform = $6, headers = $7, auth = $8, timeout_ms = $9, max_attempts = $10,
       retry_base_ms = $11, retry_cap_ms = $12, concurrency = $13, rate_per_second = $14, tls = $16,
       wants_all_since = CASE WHEN filter IS NOT NULL AND CAST($5 AS text) IS NULL THEN $15 ELSE wants_all_since END, updated_at = $15
WHERE  id = $1`

// ChangeDestination changes what c names and nothing else; what waits for the destination
// goes by the new values. Mistakes as with AddDestination; fault.NotFound when the
// integration has no such destination.
func (m *Module) ChangeDestination(ctx context.Context, tx *database.Tx, integrationID, destinationID string, c contract.DestinationConfig) error {
	d, err := m.opened(ctx, tx, integrationID, destinationID)
	if err != nil {
		return err
	}
	if err := m.take(&d, c); err != nil {
		return err
	}
	if err := d.seal(m.directory.sealer); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, updateDestinationSQL, d.ID, d.URL, d.IsActive, string(d.Mode), orNull(d.Filter), orNull(d.Transform),
		d.SealedHeaders, d.SealedAuth, d.TimeoutMS, d.MaxAttempts, d.RetryBaseMS, d.RetryCapMS, d.Concurrency, d.Rate, tx.Now, d.SealedTLS); err != nil {
		return fmt.Errorf("change destination %s: %w", d.ID, err)
	}
	return m.changed(ctx, tx, d, "destination.changed", map[string]any{"fields": named(c)})
}

// named are the fields that c changes. Values stay out of the audit trail: some are secret.
func named(c contract.DestinationConfig) []string {
	fields := []string{}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"url", c.URL != nil}, {"mode", c.Mode != nil}, {"filter", c.Filter != nil}, {"transform", c.Transform != nil},
		{"headers", c.Headers != nil}, {"auth", c.Auth != nil}, {"tls", c.TLS != nil}, {"policy", c.Policy != nil}, {"isActive", c.IsActive != nil},
	} {
		if f.set {
			fields = append(fields, f.name)
		}
	}
	return fields
}

const rotateSQL = `
UPDATE destinations SET old_secret = signing_secret, old_secret_until = $2, signing_secret = $3, updated_at = $4
WHERE  id = $1`

// RotateSigningSecret gives a destination a new signing secret, which is not shown again.
// The one before signs beside it for a day; one from before that signs no more.
func (m *Module) RotateSigningSecret(ctx context.Context, tx *database.Tx, integrationID, destinationID string) (string, error) {
	d, err := m.opened(ctx, tx, integrationID, destinationID)
	if err != nil {
		return "", err
	}
	signingSecret := newSigningSecret()
	sealed, err := m.directory.sealer.Seal(secret.New(signingSecret))
	if err != nil {
		return "", fmt.Errorf("seal the signing secret: %w", err)
	}
	until := tx.Now.Add(rotationTime)
	if _, err := tx.Exec(ctx, rotateSQL, d.ID, until, sealed, tx.Now); err != nil {
		return "", fmt.Errorf("rotate the secret of destination %s: %w", d.ID, err)
	}
	return signingSecret, m.changed(ctx, tx, d, "destination.secret_rotated", map[string]any{"oldSignsUntil": clock.At(until)})
}

// changed has this process see a destination anew after the commit, and audits what was
// done with it.
func (m *Module) changed(ctx context.Context, tx *database.Tx, d destination, action string, details map[string]any) error {
	tx.AfterCommit(m.directory.forget)
	if details == nil {
		details = map[string]any{}
	}
	details["integrationId"] = d.IntegrationID
	entry := eventEntry(d.ID, action, details)
	entry.EntityType = contract.EntityDestination
	if actor := httpapi.Actor(ctx); actor != "" {
		entry.Actor = actor
	}
	return m.auditor.Record(ctx, tx, []contract.AuditEntry{entry})
}
