package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"integration-gateway/platform/database"
)

const minID = "00000000-0000-0000-0000-000000000000"

const sealColumns = "seq, first_id, last_id, count, late, leaves, sealed_by, swept_seq, previous_hash, hash, sealed_at, retained_from, dropped_seq, dropped_hash"

const selectNewestSealSQL = `
SELECT ` + sealColumns + ` FROM audit_seals ORDER BY seq DESC LIMIT 1`

// newestSeal returns the zero seal if there is none.
func newestSeal(ctx context.Context, db *database.DB) (s seal, err error) {
	err = db.Get(ctx, &s, selectNewestSealSQL)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return s, fmt.Errorf("read the newest seal: %w", err)
	}
	return s, nil
}

const selectLastSealedSQL = `
SELECT last_id FROM audit_seals WHERE NOT late AND last_id < $1 ORDER BY last_id DESC LIMIT 1`

const maxID = "ffffffff-ffff-ffff-ffff-ffffffffffff"

// lastSealedID returns the last id before the given one that is sealed by a seal that is
// not late.
func lastSealedID(ctx context.Context, db *database.DB, before string) (last string, err error) {
	err = db.Get(ctx, &last, selectLastSealedSQL, before)
	if errors.Is(err, sql.ErrNoRows) {
		return minID, nil
	}
	if err != nil {
		return "", fmt.Errorf("read how far the trail is sealed: %w", err)
	}
	return last, nil
}

const selectSealsSQL = `
SELECT ` + sealColumns + ` FROM audit_seals WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3`

func readSeals(ctx context.Context, db *database.DB, after, upTo int64, limit int) (seals []seal, err error) {
	if err = db.Select(ctx, &seals, selectSealsSQL, after, upTo, limit); err != nil {
		return nil, fmt.Errorf("read seals: %w", err)
	}
	return seals, nil
}

const selectLateSQL = `
SELECT ` + sealColumns + ` FROM audit_seals WHERE late AND first_id > $1 AND first_id <= $2 ORDER BY first_id`

// lateIDs returns the ids in (after, upTo] that late seals contain, with the seals' numbers. Both are
// the last ids of seals that are not late, or minID and maxID: a late seal lies between two such.
func lateIDs(ctx context.Context, db *database.DB, after, upTo string) (map[string]int64, error) {
	var seals []seal
	if err := db.Select(ctx, &seals, selectLateSQL, after, upTo); err != nil {
		return nil, fmt.Errorf("read late seals: %w", err)
	}
	ids := map[string]int64{}
	for _, s := range seals {
		for _, l := range unpackLeaves(s.Leaves) {
			ids[l.id] = s.Seq
		}
	}
	return ids, nil
}

const selectEntriesByIDSQL = `
SELECT e.id, e.entity_type, e.entity_id, e.action, e.actor, e.details, e.created_at
FROM   v JOIN audit_entries e ON e.id = v.id ORDER BY e.id`

func entriesByID(ctx context.Context, db *database.DB, ids []string) (entries []entry, err error) {
	if err = db.SelectRows(ctx, &entries, database.IDs(ids), selectEntriesByIDSQL); err != nil {
		return nil, fmt.Errorf("read audit entries: %w", err)
	}
	return entries, nil
}

// insertSeal reports false if another process has already made the next seal.
func insertSeal(ctx context.Context, db *database.DB, s seal) (bool, error) {
	err := db.InTx(ctx, func(tx *database.Tx) error {
		rows := database.NewRows("seq bigint", "first_id uuid", "last_id uuid", "count bigint", "late boolean", "leaves bytea",
			"sealed_by text", "swept_seq bigint", "previous_hash text", "hash text", "sealed_at timestamptz",
			"retained_from timestamptz", "dropped_seq bigint", "dropped_hash text")
		rows.Add(s.Seq, s.FirstID, s.LastID, s.Count, s.Late, s.Leaves, s.KeyID, s.SweptSeq, s.Previous, s.Hash, s.SealedAt.Time,
			plainTime(s.From), s.Upto, s.Last)
		return tx.Insert(ctx, "audit_seals", rows)
	})
	if db.Dialect.IsUnique(err) {
		return false, nil
	}
	return err == nil, err
}

const selectSealKeysSQL = `
SELECT sealed_by, count(*) AS seals FROM audit_seals GROUP BY sealed_by`

// KeysInUse counts the seals by the key they were made with; "" for none.
func (m *Module) KeysInUse(ctx context.Context) (map[string]int64, error) {
	var rows []struct {
		KeyID string `db:"sealed_by"`
		Seals int64  `db:"seals"`
	}
	if err := m.db.Select(ctx, &rows, selectSealKeysSQL); err != nil {
		return nil, err
	}
	inUse := make(map[string]int64, len(rows))
	for _, r := range rows {
		inUse[r.KeyID] = r.Seals
	}
	return inUse, nil
}
