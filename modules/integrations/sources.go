package integrations

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
	"integration-gateway/platform/provider"
)

// CreatedIntegration is a new integration with its destinations' signing secrets, which are
// shown only once.
type CreatedIntegration struct {
	ID             string
	SigningSecrets []contract.NewDestination
}

const insertNewIntegrationSQL = `
INSERT INTO integrations (id, source, provider, name, is_active, rate_limit_per_minute, max_body_bytes, options, redact, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
ON CONFLICT (source) DO NOTHING`

// CreateIntegration creates a source with its secrets and destinations in tx. It returns
// fault.Invalid with every violation, and fault.Conflict if the source exists.
func (m *Module) CreateIntegration(ctx context.Context, tx *database.Tx, c IntegrationConfig) (CreatedIntegration, error) {
	made := CreatedIntegration{ID: id.New(), SigningSecrets: []contract.NewDestination{}}
	wrong, err := m.checkIntegration(c)
	switch {
	case err != nil:
		return made, err
	case len(wrong) > 0:
		return made, httpapi.Invalid(wrong)
	}
	options, err := json.Marshal(c.options())
	if err != nil {
		return made, fmt.Errorf("write the options: %w", err)
	}
	redact, _ := json.Marshal(httpapi.OrEmpty(c.Redact)) // strings always marshal
	spec, _ := m.d.Providers.Spec(c.Provider)
	i := integrationRow{ID: made.ID, Source: c.Source, Provider: c.Provider, Name: c.Name, IsActive: c.IsActive == nil || *c.IsActive}
	if i.Name == "" {
		i.Name = spec.Title
	}
	inserted, err := tx.Exec(ctx, insertNewIntegrationSQL, i.ID, i.Source, i.Provider, i.Name, i.IsActive, c.RateLimitPerMinute.Value, c.MaxBodyBytes.Value,
		string(options), string(redact), tx.Now)
	switch {
	case err != nil:
		return made, fmt.Errorf("insert integration: %w", err)
	case inserted == 0:
		return made, m.sourceTaken(ctx, tx, c.Source)
	}
	tx.AfterCommit(func() { m.snapshots.invalidate(c.Source) }) // the snapshot may list it as unknown
	if err := m.auditIntegration(ctx, tx, i, "integration.created", integrationDetails{IsActive: &i.IsActive}); err != nil {
		return made, err
	}
	return made, m.fillIntegration(ctx, tx, i, c, &made)
}

// fillIntegration adds the secrets and destinations of a new integration.
func (m *Module) fillIntegration(ctx context.Context, tx *database.Tx, i integrationRow, c IntegrationConfig, made *CreatedIntegration) error {
	spec, err := m.d.Providers.Configure(i.Provider, c.options())
	if err != nil {
		return err
	}
	c.Secrets = slices.Clone(c.Secrets)
	for n := range c.Secrets {
		c.Secrets[n] = c.Secrets[n].purposed(&spec)
	}
	secretIDs, err := m.insertSecrets(ctx, tx, i.ID, c.Secrets)
	if err != nil {
		return err
	}
	for n, secretID := range secretIDs {
		s := c.Secrets[n]
		if err := m.auditIntegration(ctx, tx, i, "secret.added", integrationDetails{SecretID: secretID, Note: s.Note, ExpiresAt: clockTime(s.ExpiresAt)}); err != nil {
			return err
		}
	}
	var wrong violations
	for n, d := range c.Destinations {
		destination, err := m.d.Destinations.AddDestination(ctx, tx, i.ID, d)
		if err := wrong.below(fmt.Sprintf("destinations[%d]", n), err); err != nil {
			return err
		}
		made.SigningSecrets = append(made.SigningSecrets, destination)
	}
	if len(wrong) > 0 {
		return httpapi.Invalid(wrong)
	}
	return nil
}

const selectArchivedSQL = `
SELECT archived_at IS NOT NULL FROM integrations WHERE source = $1`

// sourceTaken returns why a source cannot be created. The name of an archived source stays
// taken: its events' idempotency keys begin with it, so a new provider's event could count as
// a duplicate and be lost.
func (m *Module) sourceTaken(ctx context.Context, tx *database.Tx, source string) error {
	var archived bool
	if err := tx.Get(ctx, &archived, selectArchivedSQL, source); err != nil {
		return fmt.Errorf("find integration: %w", err)
	}
	if archived {
		return fault.Conflict.New("source_archived", "The source %s was removed, and its events keep the name; choose another.", source).At("source")
	}
	return fault.Conflict.New("source_exists", "An integration with the source %s already exists.", source).At("source")
}

const lockIntegrationSQL = `
SELECT ` + integrationColumns + `
FROM   integrations
WHERE  id = $1 `

// lockIntegration locks an integration that is not archived. Changes in tx take effect at
// once in this process, and within a second in the others.
func (m *Module) lockIntegration(ctx context.Context, tx *database.Tx, integrationID string) (integrationRow, error) {
	var i integrationRow
	switch err := tx.Get(ctx, &i, lockIntegrationSQL+tx.Dialect.ForUpdate, integrationID); {
	case errors.Is(err, sql.ErrNoRows):
		return i, noIntegration(integrationID)
	case err != nil:
		return i, fmt.Errorf("lock integration: %w", err)
	case !httpapi.SeesSource(ctx, i.Source):
		return i, noIntegration(integrationID)
	}
	if i.ArchivedAt != nil {
		return i, fault.Conflict.New("integration_archived", "The integration %s was removed and is read-only.", i.Source)
	}
	tx.AfterCommit(func() { m.snapshots.invalidate(i.Source) })
	return i, nil
}

func noIntegration(name string) error {
	return fault.NotFound.New("integration_not_found", "There is no integration %s.", name)
}

const updateIntegrationSQL = `
UPDATE integrations
SET    name = $2, options = $3, is_active = $4, rate_limit_per_minute = $5, max_body_bytes = $6, redact = $7, updated_at = $8
WHERE  id = $1`

// ChangeIntegration changes the fields that c sets, if they differ.
func (m *Module) ChangeIntegration(ctx context.Context, tx *database.Tx, integrationID string, c IntegrationChange) error {
	i, err := m.lockIntegration(ctx, tx, integrationID)
	if err != nil {
		return err
	}
	wrong, err := m.checkChange(i.Provider, c)
	if err == nil {
		err = m.checkRedactChange(ctx, tx, i, c, &wrong)
	}
	switch {
	case err != nil:
		return err
	case len(wrong) > 0:
		return httpapi.Invalid(wrong)
	}
	changed, err := i.apply(c)
	if err != nil || len(changed) == 0 {
		return err
	}
	if _, err := tx.Exec(ctx, updateIntegrationSQL, i.ID, i.Name, i.Options, i.IsActive, i.RateLimit, i.MaxBodyBytes, i.Redact, tx.Now); err != nil {
		return fmt.Errorf("change integration: %w", err)
	}
	return m.auditIntegration(ctx, tx, i, "integration.updated", integrationDetails{Changed: changed, IsActive: &i.IsActive})
}

// apply applies c to the row and returns the changed fields.
func (r *integrationRow) apply(c IntegrationChange) (changed []string, err error) {
	if c.Name != nil && *c.Name != r.Name {
		r.Name, changed = *c.Name, append(changed, "name")
	}
	if c.Options != nil {
		options, err := json.Marshal(c.Options)
		if err != nil {
			return nil, fmt.Errorf("write the options: %w", err)
		}
		if string(options) != r.Options {
			r.Options, changed = string(options), append(changed, "options")
		}
	}
	if c.Redact != nil {
		redact, _ := json.Marshal(c.Redact) // strings always marshal
		if string(redact) != r.Redact {
			r.Redact, changed = string(redact), append(changed, "redact")
		}
	}
	if c.IsActive != nil && *c.IsActive != r.IsActive {
		r.IsActive, changed = *c.IsActive, append(changed, "isActive")
	}
	if c.RateLimitPerMinute.Given && !same(c.RateLimitPerMinute.Value, r.RateLimit) {
		r.RateLimit, changed = c.RateLimitPerMinute.Value, append(changed, "rateLimitPerMinute")
	}
	if c.MaxBodyBytes.Given && !same(c.MaxBodyBytes.Value, r.MaxBodyBytes) {
		r.MaxBodyBytes, changed = c.MaxBodyBytes.Value, append(changed, "maxBodyBytes")
	}
	return changed, nil
}

func same[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

const archiveIntegrationSQL = `
UPDATE integrations SET is_active = false, archived_at = $2, updated_at = $2
WHERE  id = $1`

// ArchiveIntegration archives an integration: it accepts no webhooks, its history stays, and
// jobs says whether its open jobs are finished or cancelled.
func (m *Module) ArchiveIntegration(ctx context.Context, tx *database.Tx, integrationID string, jobs contract.OpenJobs) error {
	i, err := m.lockIntegration(ctx, tx, integrationID)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, archiveIntegrationSQL, i.ID, tx.Now); err != nil {
		return fmt.Errorf("archive integration: %w", err)
	}
	if err := m.d.Destinations.CloseIntegration(ctx, tx, i.ID, jobs); err != nil {
		return err
	}
	return m.auditIntegration(ctx, tx, i, "integration.archived", integrationDetails{OpenJobs: jobs})
}

// spec returns the provider under the integration's options, or nil if they are invalid.
func (r integrationRow) spec(providers provider.Registry) *provider.Spec {
	options, err := readOptions(r.Options)
	if err != nil {
		return nil
	}
	spec, err := providers.Configure(r.Provider, options)
	if err != nil {
		return nil
	}
	return &spec
}

// readOptions decodes the options column.
func readOptions(text string) (o provider.Options, err error) {
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return o, fmt.Errorf("read the options: %w", err)
	}
	return o, nil
}
