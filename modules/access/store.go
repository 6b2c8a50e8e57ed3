package access

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
)

// row is a row of api_keys.
type row struct {
	ID         string      `db:"id"`
	Name       string      `db:"name"`
	Prefix     string      `db:"prefix"`
	Hash       string      `db:"hash"`
	Role       string      `db:"role"`
	Sources    *string     `db:"sources"`
	CreatedAt  clock.Time  `db:"created_at"`
	CreatedBy  string      `db:"created_by"`
	ExpiresAt  *clock.Time `db:"expires_at"`
	RevokedAt  *clock.Time `db:"revoked_at"`
	LastUsedAt *clock.Time `db:"last_used_at"`
}

const keyColumns = `id, name, prefix, hash, role, sources, created_at, created_by, expires_at, revoked_at, last_used_at`

// key converts the row. Unreadable sources mean none, never all.
func (r row) key() Key {
	k := Key{ID: r.ID, Name: r.Name, Prefix: r.Prefix, Role: r.Role, CreatedAt: r.CreatedAt, CreatedBy: r.CreatedBy,
		ExpiresAt: r.ExpiresAt, RevokedAt: r.RevokedAt, LastUsedAt: r.LastUsedAt}
	if r.Sources != nil {
		if json.Unmarshal([]byte(*r.Sources), &k.Sources) != nil || k.Sources == nil {
			k.Sources = []string{}
		}
	}
	return k
}

const insertKeySQL = `
INSERT INTO api_keys (id, name, prefix, hash, role, sources, created_at, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (name) DO NOTHING`

func insertKey(ctx context.Context, tx *database.Tx, k Key, hash string) error {
	var sources *string
	if k.Sources != nil {
		text, _ := json.Marshal(k.Sources) // strings always marshal
		list := string(text)
		sources = &list
	}
	n, err := tx.Exec(ctx, insertKeySQL, k.ID, k.Name, k.Prefix, hash, k.Role, sources, k.CreatedAt, k.CreatedBy, k.ExpiresAt)
	switch {
	case err != nil:
		return fmt.Errorf("insert the key: %w", err)
	case n == 0:
		return fault.Conflict.New("key_exists", "There is or was a key named %s; choose another name.", k.Name).At("name")
	}
	return nil
}

const revokeKeySQL = `
UPDATE api_keys SET revoked_at = $2
WHERE  id = $1 AND revoked_at IS NULL`

func revokeKey(ctx context.Context, tx *database.Tx, keyID string) (bool, error) {
	n, err := tx.Exec(ctx, revokeKeySQL, keyID, tx.Now)
	if err != nil {
		return false, fmt.Errorf("revoke the key: %w", err)
	}
	return n > 0, nil
}

const selectKeySQL = `
SELECT ` + keyColumns + `
FROM   api_keys
WHERE  id = $1`

// getter is a database or a transaction.
type getter interface {
	Get(ctx context.Context, dest any, query string, args ...any) error
}

func readKey(ctx context.Context, from getter, keyID string) (Key, error) {
	var r row
	switch err := from.Get(ctx, &r, selectKeySQL, keyID); {
	case errors.Is(err, sql.ErrNoRows):
		return Key{}, fault.NotFound.New("key_not_found", "There is no key %s.", keyID)
	case err != nil:
		return Key{}, fmt.Errorf("read the key: %w", err)
	}
	return r.key(), nil
}

const selectKeysSQL = `
SELECT ` + keyColumns + `
FROM   api_keys
ORDER  BY id`

// Keys returns all keys, including revoked ones, oldest first.
func (m *Module) Keys(ctx context.Context) ([]Key, error) {
	var rows []row
	if err := m.d.DB.Select(ctx, &rows, selectKeysSQL); err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	keys := make([]Key, len(rows))
	for i, r := range rows {
		keys[i] = r.key()
	}
	return keys, nil
}

const selectLiveKeysSQL = `
SELECT ` + keyColumns + `
FROM   api_keys
WHERE  revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)`

func selectLiveKeys(ctx context.Context, db *database.DB, at time.Time) ([]row, error) {
	var rows []row
	if err := db.Select(ctx, &rows, selectLiveKeysSQL, at); err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	return rows, nil
}

const updateLastUsedSQL = `
UPDATE api_keys
SET    last_used_at = v.at
FROM   v
WHERE  api_keys.id = v.id AND (last_used_at IS NULL OR last_used_at < v.at)`
