package secrets

import (
	"context"
	"fmt"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/keyring"
	"integration-gateway/platform/secret"
)

const selectRetiredSQL = `
SELECT id, fingerprint, remains
FROM   retired_keys
WHERE  id > $1
ORDER  BY id
LIMIT  $2`

type retiredRow struct {
	ID      string `db:"id"`
	KeyID   string `db:"fingerprint"`
	Remains string `db:"remains"`
}

// Retired returns the retired keys, for a ring to adopt.
func Retired(ctx context.Context, db *database.DB) ([]keyring.Retired, error) {
	var rows []retiredRow
	if err := db.Select(ctx, &rows, selectRetiredSQL, minID, 10_000); err != nil {
		return nil, fmt.Errorf("read the retired keys: %w", err)
	}
	list := make([]keyring.Retired, len(rows))
	for i, r := range rows {
		list[i] = keyring.Retired{ID: r.KeyID, Sealed: r.Remains}
	}
	return list, nil
}

// retired is the store of retired keys.
type retired struct{ db *database.DB }

func (r retired) SealedRows(ctx context.Context, after string, limit int) ([]contract.SealedRow, error) {
	var rows []retiredRow
	if err := r.db.Select(ctx, &rows, selectRetiredSQL, after, limit); err != nil {
		return nil, err
	}
	list := make([]contract.SealedRow, len(rows))
	for i := range rows {
		list[i] = contract.SealedRow{ID: rows[i].ID, Of: "the retired key " + rows[i].KeyID, Texts: []*string{&rows[i].Remains},
			Places: []secret.Place{keyring.Retired{ID: rows[i].KeyID}.Place()}}
	}
	return list, nil
}

const replaceRetiredSQL = `
UPDATE retired_keys SET remains = v.after_text
FROM   v
WHERE  retired_keys.id = v.id AND retired_keys.remains = v.before_text`

func (retired) ReplaceSealed(ctx context.Context, tx *database.Tx, rows []contract.Resealed) (int64, error) {
	v := database.NewRows("id uuid", "before_text text", "after_text text")
	for _, r := range rows {
		v.Add(r.ID, r.Before[0], r.After[0])
	}
	return tx.ExecRows(ctx, v, replaceRetiredSQL)
}
