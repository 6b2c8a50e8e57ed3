package integrations

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"integration-gateway/platform/provider"
)

// sourceColumns selects an integration with one of its active secrets.
//
//nolint:gosec // a query, not a secret
const sourceColumns = `i.id, i.source, i.provider, i.options, i.redact, i.is_active, i.rate_limit_per_minute, i.max_body_bytes,
       s.id AS secret_id, s.secret, s.purpose, s.expires_at`

//nolint:gosec // a query, not a secret
const selectSourcesSQL = `
SELECT ` + sourceColumns + `
FROM   v
JOIN   integrations i ON i.id = v.id
LEFT   JOIN integration_secrets s ON s.integration_id = i.id AND s.is_active
WHERE  i.archived_at IS NULL
ORDER  BY i.id, s.id`

//nolint:gosec // a query, not a secret
const selectSourceSQL = `
SELECT ` + sourceColumns + `
FROM   integrations i
LEFT   JOIN integration_secrets s ON s.integration_id = i.id AND s.is_active
WHERE  i.is_active AND i.source = $1
ORDER  BY s.id`

// sourceRow is an integration with one of its active secrets. SecretID is nil if it has none.
type sourceRow struct {
	ID           string     `db:"id"`
	Source       string     `db:"source"`
	Provider     string     `db:"provider"`
	Options      string     `db:"options"`
	Redact       string     `db:"redact"`
	IsActive     bool       `db:"is_active"`
	RateLimit    *int       `db:"rate_limit_per_minute"`
	MaxBodyBytes *int64     `db:"max_body_bytes"`
	SecretID     *string    `db:"secret_id"`
	Secret       *string    `db:"secret"`
	Purpose      *string    `db:"purpose"`
	ExpiresAt    *time.Time `db:"expires_at"`
}

// loaded is a source with the rows that it was built from.
type loaded struct {
	*provider.Source
	rows   []sourceRow
	broken error // why it is unusable
}

// load brings a snapshot up to the database, nil for the first. It reads the integrations
// whose revisions differ, and tries again those that cannot be used.
func (m *Module) load(ctx context.Context, before *snapshot) (*snapshot, error) {
	if before == nil {
		before = &snapshot{}
	}
	edition := m.d.Providers.Edition()
	now, err := m.readSummary(ctx)
	if err != nil {
		return nil, err
	}
	read, ids := before.revisions, slices.Clone(before.broken)
	if now != read.summary() {
		if read, err = m.readRevisions(ctx); err != nil {
			return nil, err
		}
		ids = append(ids, read.changedSince(before.revisions)...)
	}
	if before.edition != edition { // the providers' definitions changed: every source is made anew
		before, ids = &snapshot{}, slices.Collect(maps.Keys(read.of))
	}
	next := &snapshot{sources: before.sources, names: before.names}
	if len(ids) > 0 || next.sources == nil {
		slices.Sort(ids)
		if next, err = m.loadChanged(ctx, before, slices.Compact(ids)); err != nil {
			return nil, err
		}
	}
	next.revisions, next.edition = read, edition
	return next, nil
}

// loadChanged reads these integrations and leaves the others as they are. One whose rows are
// as they were stays as it is: secrets are decrypted once.
func (m *Module) loadChanged(ctx context.Context, before *snapshot, integrationIDs []string) (*snapshot, error) {
	rows, err := m.rowsOf(ctx, integrationIDs)
	if err != nil {
		return nil, err
	}
	next := &snapshot{sources: make(map[string]loaded, len(before.sources)), names: make(map[string]string, len(before.names))}
	maps.Copy(next.sources, before.sources)
	maps.Copy(next.names, before.names)
	for _, integrationID := range integrationIDs { // it may be archived by now
		delete(next.sources, before.names[integrationID])
		delete(next.names, integrationID)
	}
	m.put(next, before, rows)
	return next, nil
}

// put adds the sources of these rows, which are ordered by integration.
func (m *Module) put(next, before *snapshot, rows []sourceRow) {
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].ID == rows[0].ID {
			n++
		}
		name := rows[0].Source
		one := before.sources[name]
		if one.Source == nil || one.broken != nil || !reflect.DeepEqual(one.rows, rows[:n]) {
			one = m.sourceOf(rows[:n])
		}
		if one.broken != nil && !one.Disabled {
			next.broken = append(next.broken, one.IntegrationID)
		}
		next.sources[name], next.names[one.IntegrationID], rows = one, name, rows[n:]
	}
}

// loadOne reads one source. Its Source is nil if none is active.
func (m *Module) loadOne(ctx context.Context, name string) (loaded, error) {
	var rows []sourceRow
	err := m.d.DB.Select(ctx, &rows, selectSourceSQL, name)
	if err != nil || len(rows) == 0 {
		return loaded{}, err
	}
	return m.sourceOf(rows), nil
}

// sourceOf builds a source from its integration's rows.
func (m *Module) sourceOf(rows []sourceRow) loaded {
	row := rows[0]
	src := &provider.Source{IntegrationID: row.ID, Name: row.Source, Disabled: !row.IsActive, RateLimit: row.RateLimit, MaxBodyBytes: row.MaxBodyBytes}
	one := loaded{Source: src, rows: rows}
	if err := m.configure(src, row); err != nil {
		one.broken = fmt.Errorf("integration %s: %w", row.ID, err)
	} else if m.lacksURL(src.Spec) {
		one.broken = fmt.Errorf("integration %s: its provider signs the URL, so it needs the option publicUrl or the setting PUBLIC_BASE_URL", row.ID)
	} else if src.Secrets, err = m.openSecrets(rows); err != nil {
		one.broken = err
	}
	return one
}

// lacksURL reports whether a source needs its public URL and has none.
func (m *Module) lacksURL(spec provider.Spec) bool {
	return m.cfg.NeedsPublicURL && spec.SignsURL && !spec.KnowsURL() && m.cfg.PublicBaseURL == ""
}

func (m *Module) configure(src *provider.Source, row sourceRow) error {
	options, err := readOptions(row.Options)
	if err != nil {
		return err
	}
	if src.Spec, err = m.d.Providers.Configure(row.Provider, options); err != nil {
		return err
	}
	src.SafeHeaders = src.Spec.SafeHeaders()
	paths, err := readRedact(row.Redact)
	if err != nil {
		return err
	}
	src.Redaction, err = parseRedaction(paths)
	return err
}

func (m *Module) openSecrets(rows []sourceRow) (secrets []provider.Secret, err error) {
	for _, row := range rows {
		if row.SecretID == nil {
			continue
		}
		one := provider.Secret{ID: *row.SecretID, Purpose: provider.Purpose(*row.Purpose)}
		if one.Value, err = m.d.Sealer.Open(SecretPlace(one.ID), *row.Secret); err != nil {
			return nil, fmt.Errorf("open secret %s: %w", one.ID, err)
		}
		if row.ExpiresAt != nil {
			one.ExpiresAt = *row.ExpiresAt
		}
		secrets = append(secrets, one)
	}
	return secrets, nil
}
