package ingestion

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"integration-gateway/platform/keyring"
)

const selectDigestsSQL = `
SELECT header_digests, count(*) AS n
FROM   quarantine
WHERE  header_digests <> '{}'
GROUP  BY header_digests`

// KeysInUse counts the requests in quarantine, and the marks of erasures, by the key of their digests.
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
	var marks []string
	if err := m.d.DB.Select(ctx, &marks, `SELECT text_digest FROM erasure_marks`); err != nil {
		return nil, err
	}
	for _, digest := range marks {
		inUse[keyring.DigestKey(digest)]++
	}
	return inUse, nil
}

// digestKeys returns the distinct key ids of a request's digests.
func digestKeys(digests map[string][]string) []string {
	seen := map[string]bool{}
	var ids []string
	for _, list := range digests {
		for _, digest := range list {
			keyID := keyring.DigestKey(digest)
			if sealed, is := strings.CutPrefix(digest, sealedPrefix); is {
				keyID = keyring.KeyOf(sealed)
			}
			if !seen[keyID] {
				seen[keyID] = true
				ids = append(ids, keyID)
			}
		}
	}
	return ids
}
