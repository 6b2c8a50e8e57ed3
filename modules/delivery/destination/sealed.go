package destination

import (
	"context"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/secret"
)

// The columns of destinations that are sealed.
const (
	columnHeaders   = "headers"
	columnAuth      = "auth"
	columnTLS       = "tls"
	columnSigning   = "signing_secret"
	columnOldSecret = "old_secret"
)

// place is where a destination keeps a sealed text.
func (d *Destination) place(column string) secret.Place {
	return secret.Place{Table: "destinations", Column: column, Row: d.ID}
}

const selectSealedSQL = `
SELECT id, is_active, archived_at, headers, auth, tls, signing_secret, old_secret
FROM   destinations
WHERE  id > $1
ORDER  BY id
LIMIT  $2`

// SealedRows returns the sealed columns of destinations after an id. Only active ones are in
// use: a removed destination must not keep a process from starting.
func (s *Store) SealedRows(ctx context.Context, after string, limit int) ([]contract.SealedRow, error) {
	var rows []Destination
	if err := s.db.Select(ctx, &rows, selectSealedSQL, after, limit); err != nil {
		return nil, err
	}
	list := make([]contract.SealedRow, len(rows))
	for i := range rows {
		d := &rows[i]
		list[i] = contract.SealedRow{ID: d.ID, Of: "destination " + d.ID, InUse: d.IsActive && d.ArchivedAt == nil,
			Texts:  []*string{d.SealedHeaders, d.SealedAuth, d.SealedTLS, &d.SigningSecret, d.OldSecret},
			Places: []secret.Place{d.place(columnHeaders), d.place(columnAuth), d.place(columnTLS), d.place(columnSigning), d.place(columnOldSecret)}}
	}
	return list, nil
}

// If any column has changed meanwhile, the row is left unchanged.
const replaceSealedSQL = `
UPDATE destinations
SET    headers = v.headers_after, auth = v.auth_after, tls = v.tls_after, signing_secret = v.signing_after, old_secret = v.old_after
FROM   v
WHERE  destinations.id = v.id AND destinations.headers IS NOT DISTINCT FROM v.headers_before
AND    destinations.auth IS NOT DISTINCT FROM v.auth_before AND destinations.tls IS NOT DISTINCT FROM v.tls_before
AND    destinations.signing_secret = v.signing_before AND destinations.old_secret IS NOT DISTINCT FROM v.old_before`

// ReplaceSealed replaces the sealed columns of destinations that are unchanged.
func (s *Store) ReplaceSealed(ctx context.Context, tx *database.Tx, rows []contract.Resealed) (int64, error) {
	v := database.NewRows("id uuid", "headers_before text", "headers_after text", "auth_before text", "auth_after text", "tls_before text",
		"tls_after text", "signing_before text", "signing_after text", "old_before text", "old_after text")
	for _, r := range rows {
		values := []any{r.ID}
		for i := range r.Before {
			values = append(values, r.Before[i], r.After[i])
		}
		v.Add(values...)
	}
	return tx.ExecRows(ctx, v, replaceSealedSQL)
}
