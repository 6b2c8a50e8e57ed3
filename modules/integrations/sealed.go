package integrations

import (
	"context"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/secret"
)

// SecretPlace is where a secret is stored.
func SecretPlace(secretID string) secret.Place {
	return secret.Place{Table: "integration_secrets", Column: "secret", Row: secretID}
}

//nolint:gosec // a query, not a secret
const selectSealedSQL = `
SELECT s.id, i.source, s.secret, (s.is_active AND i.is_active AND (s.expires_at IS NULL OR s.expires_at > $3)) AS in_use
FROM   integration_secrets s
JOIN   integrations i ON i.id = s.integration_id
WHERE  s.id > $1
ORDER  BY s.id
LIMIT  $2`

// SealedRows returns the sealed secrets after an id. Those that currently verify are in use.
func (m *Module) SealedRows(ctx context.Context, after string, limit int) ([]contract.SealedRow, error) {
	var rows []struct {
		ID     string `db:"id"`
		Source string `db:"source"`
		Secret string `db:"secret"`
		InUse  bool   `db:"in_use"`
	}
	if err := m.d.DB.Select(ctx, &rows, selectSealedSQL, after, limit, m.d.Now()); err != nil {
		return nil, err
	}
	list := make([]contract.SealedRow, len(rows))
	for i := range rows {
		list[i] = contract.SealedRow{ID: rows[i].ID, Of: "source " + rows[i].Source, InUse: rows[i].InUse, Texts: []*string{&rows[i].Secret},
			Places: []secret.Place{SecretPlace(rows[i].ID)}}
	}
	return list, nil
}

//nolint:gosec // a query, not a secret
const replaceSealedSQL = `
UPDATE integration_secrets SET secret = v.after_text
FROM   v
WHERE  integration_secrets.id = v.id AND integration_secrets.secret = v.before_text`

// ReplaceSealed replaces the sealed texts of secrets that are still unchanged.
func (m *Module) ReplaceSealed(ctx context.Context, tx *database.Tx, rows []contract.Resealed) (int64, error) {
	v := database.NewRows("id uuid", "before_text text", "after_text text")
	for _, r := range rows {
		v.Add(r.ID, r.Before[0], r.After[0])
	}
	return tx.ExecRows(ctx, v, replaceSealedSQL)
}
