package integrations

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
)

// Source returns the source of that name from memory, active or disabled. It is at most a second
// old, and includes every change by this process. Source returns fault.NotFound for unknown and
// archived sources, and fault.Unavailable if an active source's settings are unusable, or if it
// is not in memory and the database is unavailable.
func (m *Module) Source(ctx context.Context, name string) (*provider.Source, error) {
	return m.snapshots.find(ctx, name)
}

// SourceNow reads a source from the database, for operators. A fault.Conflict says why it
// accepts no webhooks.
func (m *Module) SourceNow(ctx context.Context, name string) (*provider.Source, error) {
	one, err := m.loadOne(ctx, name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("load the source %s: %w", name, err)
	case one.Source == nil:
		return nil, fault.Conflict.New("source_inactive", "The source %s is inactive and accepts no webhooks; enable it first.", name)
	case one.broken != nil:
		return nil, fault.Conflict.Wrap(one.broken, "source_broken", "The source %s cannot be used until its settings are fixed.", name)
	}
	return one.Source, nil
}

// SourceWith returns a source as it would be with other options, from the database; fault.NotFound
// if there is none, and fault.Invalid with what is wrong with the options. Its secrets are left out.
func (m *Module) SourceWith(ctx context.Context, name string, o provider.Options) (*provider.Source, error) {
	var rows []sourceRow
	if err := m.d.DB.Select(ctx, &rows, selectSourceSQL, name); err != nil {
		return nil, fmt.Errorf("load the source %s: %w", name, err)
	}
	if len(rows) == 0 {
		return nil, fault.NotFound.New("source_not_found", "There is no active source %s.", name)
	}
	options, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("write the options: %w", err)
	}
	row := rows[0]
	row.Options = string(options)
	src := &provider.Source{IntegrationID: row.ID, Name: row.Source}
	return src, m.configure(src, row)
}

const selectActiveSQL = `
SELECT i.id
FROM   integrations i
JOIN   v ON v.id = i.id
WHERE  i.is_active`

// ActiveIntegrations returns the active ones among ids: from memory, and by one query for ids
// that are not in memory, since they may be new.
func (m *Module) ActiveIntegrations(ctx context.Context, ids []string) (map[string]bool, error) {
	set := make(map[string]bool, len(ids))
	var rest []string
	for _, integrationID := range ids {
		if m.snapshots.active(integrationID) {
			set[integrationID] = true
		} else {
			rest = append(rest, integrationID)
		}
	}
	if len(rest) == 0 {
		return set, nil
	}
	var active []string
	if err := m.d.DB.SelectRows(ctx, &active, database.IDs(rest), selectActiveSQL); err != nil {
		return nil, fmt.Errorf("look up integrations: %w", err)
	}
	for _, integrationID := range active {
		set[integrationID] = true
	}
	return set, nil
}

const selectIntegrationBySourceSQL = `
SELECT id FROM integrations WHERE source = $1`

// IntegrationOf returns the id of a source's integration, including archived ones.
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

// IntegrationsOf returns the ids of these sources' integrations, by source, including archived
// ones. It omits unknown sources.
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

const selectSourcesOfSQL = `
SELECT i.id, i.source FROM integrations i JOIN v ON v.id = i.id`

// SourcesOf returns the sources of integrations by their ids, as tx sees them.
func (m *Module) SourcesOf(ctx context.Context, tx *database.Tx, integrationIDs []string) (map[string]string, error) {
	var found []struct {
		ID     string `db:"id"`
		Source string `db:"source"`
	}
	if err := tx.SelectRows(ctx, &found, database.IDs(integrationIDs), selectSourcesOfSQL); err != nil {
		return nil, fmt.Errorf("find the sources of integrations: %w", err)
	}
	sources := make(map[string]string, len(found))
	for _, i := range found {
		sources[i.ID] = i.Source
	}
	return sources, nil
}

const selectSourcesOfProviderSQL = `
SELECT source FROM integrations WHERE provider = $1`

// SourcesOfProvider returns the sources of a provider. A source keeps its provider when it is
// archived.
func (m *Module) SourcesOfProvider(ctx context.Context, name string) (sources []string, err error) {
	if err := m.d.DB.Select(ctx, &sources, selectSourcesOfProviderSQL, name); err != nil {
		return nil, fmt.Errorf("find the sources of provider %s: %w", name, err)
	}
	return sources, nil
}

//nolint:gosec // a query, not a secret
const selectActiveSecretsSQL = `
SELECT i.source, s.id, s.secret
FROM   integration_secrets s
JOIN   integrations i ON i.id = s.integration_id
WHERE  s.is_active AND i.is_active
ORDER  BY i.source, s.id`

// EachSecret yields the active secrets of the active sources. It skips secrets that cannot be
// decrypted, which verify nothing.
func (m *Module) EachSecret(ctx context.Context, yield func(source string, value secret.Value)) error {
	var active []struct {
		Source string `db:"source"`
		ID     string `db:"id"`
		Secret string `db:"secret"`
	}
	if err := m.d.DB.Select(ctx, &active, selectActiveSecretsSQL); err != nil {
		return fmt.Errorf("read the active secrets: %w", err)
	}
	for _, a := range active {
		if value, err := m.d.Sealer.Open(SecretPlace(a.ID), a.Secret); err == nil {
			yield(a.Source, value)
		}
	}
	return nil
}
