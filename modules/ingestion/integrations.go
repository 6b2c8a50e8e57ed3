package ingestion

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"integration-gateway/modules/ingestion/provider"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

// CreatedIntegration is a new integration with its destinations' signing secrets, which
// are shown this once.
type CreatedIntegration struct {
	ID             string
	SigningSecrets []contract.NewDestination
}

const insertNewIntegrationSQL = `
INSERT INTO integrations (id, source, provider, name, is_active, rate_limit_per_minute, max_body_bytes, options, redact, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
ON CONFLICT (source) DO NOTHING`

// CreateIntegration sets up a source with its secrets and destinations, all in tx. Its
// fault.Invalid names everything that is wrong; a source that exists is a conflict.
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
	redact, _ := json.Marshal(orEmpty(c.Redact)) // strings always marshal
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
	tx.AfterCommit(func() { m.sources.invalidate(c.Source) }) // it may be remembered as unknown
	if err := m.auditIntegration(ctx, tx, i, "integration.created", integrationDetails{IsActive: &i.IsActive}); err != nil {
		return made, err
	}
	return made, m.fillIntegration(ctx, tx, i, c, &made)
}

// fillIntegration gives a new integration its secrets and destinations.
func (m *Module) fillIntegration(ctx context.Context, tx *database.Tx, i integrationRow, c IntegrationConfig, made *CreatedIntegration) error {
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
	var wrong mistakes
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

// sourceTaken says why a source cannot be made. The name of an archived one is not free
// again: its events' idempotency keys begin with it, so a new provider's event could be
// taken for one of the old, and be lost.
func (m *Module) sourceTaken(ctx context.Context, tx *database.Tx, source string) error {
	var archived bool
	if err := tx.Get(ctx, &archived, selectArchivedSQL, source); err != nil {
		return fmt.Errorf("find integration: %w", err)
	}
	if archived {
		return fault.Conflict.New("source_archived", "The source %s was removed; its events keep the name, so choose another.", source).At("source")
	}
	return fault.Conflict.New("source_exists", "There is an integration with the source %s already.", source).At("source")
}

const lockIntegrationSQL = `
SELECT ` + integrationColumns + `
FROM   integrations
WHERE  id = $1 `

// lockIntegration locks an integration that is not archived. Whatever tx changes about it
// is seen at once in this process, and within a second in the others.
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
		return i, fault.Conflict.New("integration_archived", "The integration %s was removed; it can be read and not changed.", i.Source)
	}
	tx.AfterCommit(func() { m.sources.invalidate(i.Source) })
	return i, nil
}

func noIntegration(name string) error {
	return fault.NotFound.New("integration_not_found", "No integration %s.", name)
}

const updateIntegrationSQL = `
UPDATE integrations
SET    name = $2, options = $3, is_active = $4, rate_limit_per_minute = $5, max_body_bytes = $6, redact = $7, updated_at = $8
WHERE  id = $1`

// ChangeIntegration changes what c gives. What is as it should be is not touched.
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

// apply makes the row what c says and names what was different.
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

// ArchiveIntegration ends an integration for good: nothing new is accepted, what waits is
// finished or cancelled as jobs says, and its history stays.
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

const selectIntegrationBySourceSQL = `
SELECT id FROM integrations WHERE source = $1`

// IntegrationOf gives the id of the integration that has a source, also of an archived one.
func (m *Module) IntegrationOf(ctx context.Context, source string) (string, error) {
	var integrationID string
	switch err := m.d.DB.Get(ctx, &integrationID, selectIntegrationBySourceSQL, source); {
	case errors.Is(err, sql.ErrNoRows):
		return "", noIntegration(source)
	case err != nil:
		return "", fmt.Errorf("find integration: %w", err)
	}
	return integrationID, nil
}

const selectIntegrationsOfSQL = `
SELECT i.id, i.source FROM integrations i JOIN v ON v.source = i.source`

// IntegrationsOf gives the ids of the integrations that have these sources, by source,
// archived ones too. Sources that nobody has are left out.
func (m *Module) IntegrationsOf(ctx context.Context, sources []string) (map[string]string, error) {
	var found []struct {
		ID     string `db:"id"`
		Source string `db:"source"`
	}
	rows := database.NewRows("source text")
	for _, source := range sources {
		rows.Add(source)
	}
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error { return tx.SelectRows(ctx, &found, rows, selectIntegrationsOfSQL) })
	if err != nil {
		return nil, fmt.Errorf("find integrations: %w", err)
	}
	ids := make(map[string]string, len(found))
	for _, i := range found {
		ids[i.Source] = i.ID
	}
	return ids, nil
}

const selectSourcesOfProviderSQL = `
SELECT source FROM integrations WHERE provider = $1`

// sourcesOfProvider gives the sources whose events are a provider's: a source keeps its
// provider, also when it is archived.
func (m *Module) sourcesOfProvider(ctx context.Context, name string) (sources []string, err error) {
	if err := m.d.DB.Select(ctx, &sources, selectSourcesOfProviderSQL, name); err != nil {
		return nil, fmt.Errorf("find the sources of provider %s: %w", name, err)
	}
	return sources, nil
}

// spec is the provider as the integration uses it; nil where it cannot be used.
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

// readOptions reads what an integration's row says of its provider.
func readOptions(text string) (o provider.Options, err error) {
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return o, fmt.Errorf("read the options: %w", err)
	}
	return o, nil
}
