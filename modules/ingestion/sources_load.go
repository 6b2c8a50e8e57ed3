package ingestion

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"integration-gateway/modules/ingestion/provider"
)

const selectSourceSQL = `
SELECT id, source, provider, options, redact, rate_limit_per_minute, max_body_bytes
FROM   integrations
WHERE  source = $1 AND is_active`

//nolint:gosec // a query, not a secret
const selectSecretsSQL = `
SELECT id, secret, expires_at
FROM   integration_secrets
WHERE  integration_id = $1 AND is_active
ORDER  BY id`

type sourceRow struct {
	ID           string `db:"id"`
	Source       string `db:"source"`
	Provider     string `db:"provider"`
	Options      string `db:"options"`
	Redact       string `db:"redact"`
	RateLimit    *int   `db:"rate_limit_per_minute"`
	MaxBodyBytes *int64 `db:"max_body_bytes"`
}

type secretRow struct {
	ID        string     `db:"id"`
	Secret    string     `db:"secret"`
	ExpiresAt *time.Time `db:"expires_at"`
}

// loadSource reads an active integration with its active secrets; nil when there is none.
// What cannot be used is a source that is broken, so that it is not read again for each
// request.
func (m *Module) loadSource(ctx context.Context, name string) (*source, error) {
	var row sourceRow
	switch err := m.d.DB.Get(ctx, &row, selectSourceSQL, name); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil //nolint:nilnil // no source is an answer that is remembered
	case err != nil:
		return nil, err
	}
	var secrets []secretRow
	if err := m.d.DB.Select(ctx, &secrets, selectSecretsSQL, row.ID); err != nil {
		return nil, err
	}
	src := &source{integrationID: row.ID, name: row.Source, own: m.cfg.OwnSecrets, rateLimit: row.RateLimit, maxBodyBytes: row.MaxBodyBytes}
	if err := src.configure(m.d.Providers, row); err != nil {
		src.broken = fmt.Errorf("the integration %s: %w", row.ID, err)
	} else if err := src.unseal(m.d.Sealer, secrets); err != nil {
		src.broken = err
	}
	return src, nil
}

func (s *source) configure(providers provider.Registry, row sourceRow) error {
	options, err := readOptions(row.Options)
	if err != nil {
		return err
	}
	if s.spec, err = providers.Configure(row.Provider, options); err != nil {
		return err
	}
	paths, err := readRedact(row.Redact)
	if err != nil {
		return err
	}
	s.redaction, err = parseRedaction(paths)
	return err
}

func (s *source) unseal(sealer Sealer, secrets []secretRow) error {
	for _, row := range secrets {
		value, err := sealer.Open(row.Secret)
		if err != nil {
			return fmt.Errorf("open secret %s: %w", row.ID, err)
		}
		s.secrets = append(s.secrets, provider.Secret{ID: row.ID, Value: value})
		var expiry time.Time
		if row.ExpiresAt != nil {
			expiry, s.expiring = *row.ExpiresAt, true
		}
		s.expiries = append(s.expiries, expiry)
	}
	return nil
}
