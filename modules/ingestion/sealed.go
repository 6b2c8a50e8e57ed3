package ingestion

import (
	"context"
	"encoding/json"
	"fmt"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	rings "integration-gateway/platform/keyring" // keyring is another one here
)

//nolint:gosec // a query, not a secret
const selectSealedSQL = `
SELECT s.id, i.source, s.secret, (s.is_active AND i.is_active AND (s.expires_at IS NULL OR s.expires_at > $3)) AS in_use
FROM   integration_secrets s
JOIN   integrations i ON i.id = s.integration_id
WHERE  s.id > $1
ORDER  BY s.id
LIMIT  $2`

// SealedRows gives secrets whose ids follow one; those that verify now are in use.
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
		list[i] = contract.SealedRow{ID: rows[i].ID, Of: "source " + rows[i].Source, InUse: rows[i].InUse, Texts: []*string{&rows[i].Secret}}
	}
	return list, nil
}

//nolint:gosec // a query, not a secret
const replaceSealedSQL = `
UPDATE integration_secrets SET secret = v.after_text
FROM   v
WHERE  integration_secrets.id = v.id AND integration_secrets.secret = v.before_text`

// ReplaceSealed replaces secrets' sealed texts that are still as they were.
func (m *Module) ReplaceSealed(ctx context.Context, tx *database.Tx, rows []contract.Resealed) (int64, error) {
	v := database.NewRows("id uuid", "before_text text", "after_text text")
	for _, r := range rows {
		v.Add(r.ID, r.Before[0], r.After[0])
	}
	return tx.ExecRows(ctx, v, replaceSealedSQL)
}

const selectDigestsSQL = `
SELECT header_digests, count(*) AS n
FROM   quarantine
WHERE  header_digests <> '{}'
GROUP  BY header_digests`

// KeysInUse counts the requests in quarantine by the key that their digests were made under.
func (m *Module) KeysInUse(ctx context.Context) (map[string]int64, error) {
	var rows []struct {
		Digests string `db:"header_digests"`
		N       int64  `db:"n"`
	}
	if err := m.d.DB.Select(ctx, &rows, selectDigestsSQL); err != nil {
		return nil, err
	}
	inUse := map[string]int64{}
	for _, r := range rows {
		var digests map[string][]string
		if err := json.Unmarshal([]byte(r.Digests), &digests); err != nil {
			return nil, fmt.Errorf("read the headers' digests: %w", err)
		}
		for _, keyID := range digestKeys(digests) {
			inUse[keyID] += r.N
		}
	}
	return inUse, nil
}

// digestKeys are the keys of a request's digests, each once.
func digestKeys(digests map[string][]string) []string {
	seen := map[string]bool{}
	var ids []string
	for _, list := range digests {
		for _, digest := range list {
			if keyID := rings.DigestKey(digest); !seen[keyID] {
				seen[keyID] = true
				ids = append(ids, keyID)
			}
		}
	}
	return ids
}
