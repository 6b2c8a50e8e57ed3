package delivery

import (
	"context"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

const selectSealedSQL = `
SELECT id, is_active, archived_at, headers, auth, tls, signing_secret, old_secret
FROM   destinations
WHERE  id > $1
ORDER  BY id
LIMIT  $2`

// SealedRows gives what is sealed of destinations whose ids follow one. Those that
// are made jobs for are in use: one that was removed must not keep a process from starting.
func (m *Module) SealedRows(ctx context.Context, after string, limit int) ([]contract.SealedRow, error) {
	var rows []destination
	if err := m.db.Select(ctx, &rows, selectSealedSQL, after, limit); err != nil {
		return nil, err
	}
	list := make([]contract.SealedRow, len(rows))
	for i := range rows {
		d := &rows[i]
		list[i] = contract.SealedRow{ID: d.ID, Of: "destination " + d.ID, InUse: d.IsActive && d.ArchivedAt == nil,
			Texts: []*string{d.SealedHeaders, d.SealedAuth, d.SealedTLS, &d.SigningSecret, d.OldSecret}}
	}
	return list, nil
}

// A change of any column in between loses nothing: the row is left as it is then.
const replaceSealedSQL = `
UPDATE destinations
SET    headers = v.headers_after, auth = v.auth_after, tls = v.tls_after, signing_secret = v.signing_after, old_secret = v.old_after
FROM   v
WHERE  destinations.id = v.id AND destinations.headers IS NOT DISTINCT FROM v.headers_before
AND    destinations.auth IS NOT DISTINCT FROM v.auth_before AND destinations.tls IS NOT DISTINCT FROM v.tls_before
AND    destinations.signing_secret = v.signing_before AND destinations.old_secret IS NOT DISTINCT FROM v.old_before`

// ReplaceSealed replaces what is sealed of destinations that are still as they were.
func (m *Module) ReplaceSealed(ctx context.Context, tx *database.Tx, rows []contract.Resealed) (int64, error) {
	v := database.NewRows("id uuid", "headers_before text", "headers_after text", "auth_before text", "auth_after text", "tls_before text",
		"tls_after text", "signing_before text", "signing_after text", "old_before text", "old_after text")
	for _, r := range rows {
		values := []any{r.ID}
		for i := range r.Before {
			values = append(values, r.Before[i], r.After[i])
		}
		v.Add(values...)
	}
	tx.AfterCommit(m.directory.forget)
	return tx.ExecRows(ctx, v, replaceSealedSQL)
}
