package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
)

const (
	retainAttempts = 10 // against other processes that seal
	sealsPerDelete = 1_000
	// keptAnyway is how long a seal is kept at least: processes look for the newest one that they have seen.
	keptAnyway = time.Hour
)

// Retain seals that entries from before a time may be missing: retention calls it before it removes them, so
// that a proof knows what may be gone. It also removes the oldest seals, up to the first that has entries which
// are left. The new seal keeps the hash of the last that it removed: the chain begins there.
func (m *Module) Retain(ctx context.Context, before time.Time) error {
	for range retainAttempts {
		newest, err := newestSeal(ctx, m.db)
		if err != nil || newest.Seq == 0 {
			return err
		}
		key := m.cfg.sealKey()
		if newest.KeyID != "" && key.ID == "" {
			return errSealKeyMissing
		}
		says, err := m.removable(ctx, newest)
		if err != nil {
			return err
		}
		if from := clock.At(before); says.From == nil || from.After(says.From.Time) {
			says.From = &from
		}
		s := seal{Seq: newest.Seq + 1, FirstID: minID, LastID: minID, Late: true, Leaves: []byte{}, KeyID: key.ID,
			SweptSeq: newest.SweptSeq, Previous: newest.Hash, SealedAt: clock.At(m.now()), retained: says}
		s.Hash = key.hashOf(s)
		switch ok, err := insertSeal(ctx, m.db, s); {
		case err != nil:
			return err
		case ok:
			return m.deleteSeals(ctx, says.Upto)
		}
	}
	return errors.New("other processes sealed the audit trail each time")
}

const selectFirstKeptSQL = `
SELECT seq FROM audit_seals WHERE last_id >= $1 OR sealed_at > $2 ORDER BY seq LIMIT 1`

const selectOldestSQL = `
SELECT id FROM (SELECT id FROM audit_entries ORDER BY id LIMIT 1) AS e
UNION  ALL
SELECT id FROM (SELECT id FROM audit_groups ORDER BY id LIMIT 1) AS g
ORDER  BY id LIMIT 1`

const selectLastInPlaceSQL = `
SELECT seq FROM audit_seals WHERE NOT late ORDER BY last_id DESC LIMIT 1`

// removable returns what may be removed of the seals, besides what is removed already. It is no
// seal that may not have been checked for late entries, nor the last that is not late: what is
// before its entries is sealed.
func (m *Module) removable(ctx context.Context, newest seal) (retained, error) {
	says, err := newestRetention(ctx, m.db, newest.Seq)
	if err != nil {
		return says, err
	}
	oldest := maxID
	if err := m.db.Get(ctx, &oldest, selectOldestSQL); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return says, fmt.Errorf("look for the oldest audit entry: %w", err)
	}
	upto := newest.SweptSeq
	for _, first := range []struct {
		query string
		args  []any
	}{{selectFirstKeptSQL, []any{oldest, m.now().Add(-keptAnyway)}}, {selectLastInPlaceSQL, nil}} {
		var kept int64
		switch err := m.db.Get(ctx, &kept, first.query, first.args...); {
		case err == nil:
			upto = min(upto, kept-1)
		case !errors.Is(err, sql.ErrNoRows):
			return says, fmt.Errorf("look for the seals that stay: %w", err)
		}
	}
	if upto <= says.Upto {
		return says, nil
	}
	if err := m.db.Get(ctx, &says.Last, selectSealHashSQL, upto); err != nil {
		return says, fmt.Errorf("read seal %d: %w", upto, err)
	}
	says.Upto = upto
	return says, nil
}

const deleteSealsSQL = `
DELETE FROM audit_seals WHERE seq IN (SELECT seq FROM audit_seals WHERE seq <= $1 ORDER BY seq LIMIT $2)`

// deleteSeals removes the seals up to a number, which a seal of retention says are removed.
func (m *Module) deleteSeals(ctx context.Context, upto int64) error {
	for {
		var n int64
		err := m.db.InTx(ctx, func(tx *database.Tx) (err error) {
			n, err = tx.Exec(ctx, deleteSealsSQL, upto, sealsPerDelete)
			return err
		})
		if err != nil {
			return fmt.Errorf("remove old seals: %w", err)
		}
		if n < sealsPerDelete {
			return nil
		}
	}
}

const selectRetentionSQL = `
SELECT retained_from, dropped_seq, dropped_hash FROM audit_seals WHERE retained_from IS NOT NULL AND seq <= $1 ORDER BY seq DESC LIMIT 1`

// newestRetention returns what the last seal of retention says; nothing if there is none.
func newestRetention(ctx context.Context, db *database.DB, upTo int64) (says retained, err error) {
	err = db.Get(ctx, &says, selectRetentionSQL, upTo)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return says, fmt.Errorf("read what retention has removed: %w", err)
	}
	return says, nil
}

func plainTime(t *clock.Time) *time.Time {
	if t == nil {
		return nil
	}
	return &t.Time
}
