package secrets

import (
	"context"
	"encoding/json"
	"fmt"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

// Progress is the state of a rotation.
type Progress struct {
	Kind     string // of the rows being processed
	Seen     int    // of this kind, in this pass
	Resealed int64  // of all kinds, in all passes
}

// Rotation is the result of a rotation.
type Rotation struct {
	KeyID     string    `json:"keyId"`     // of the new key
	Resealed  int64     `json:"resealed"`  // rows that were re-encrypted
	Remaining []Failure `json:"remaining"` // rows that are not under the new key
}

// Failure is a row that could not be re-encrypted.
type Failure struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Of      string `json:"of"`
	Problem string `json:"problem"`
}

// maxPasses limits a rotation while other processes keep writing under another key.
const maxPasses = 5

// Rotate re-encrypts everything that is sealed, or stored as plain text, under the current
// key, one batch per transaction. It can be interrupted and run again: rows under the
// current key are skipped. A row that changes meanwhile keeps the change and is processed
// in the next pass.
func (m *Module) Rotate(ctx context.Context, report func(Progress) error) (Rotation, error) {
	r := Rotation{KeyID: m.d.Ring.Current(), Remaining: []Failure{}}
	if r.KeyID == "" {
		return r, fault.Invalid.New("no_key", "There is no key to encrypt with: set SECRETS_KEY or SECRETS_KEY_FILE.")
	}
	if err := m.retire(ctx); err != nil {
		return r, err
	}
	for pass := 1; ; pass++ {
		before, conflicts := r.Resealed, 0
		r.Remaining = r.Remaining[:0]
		for _, k := range m.d.Kinds {
			if k.Store == nil {
				continue
			}
			n, err := m.rotateKind(ctx, k, &r, report)
			if err != nil {
				return r, err
			}
			conflicts += n
		}
		// The last pass must find nothing.
		if r.Resealed == before && conflicts == 0 || pass == maxPasses {
			return r, m.audit(ctx, r)
		}
	}
}

// rotateKind returns the number of rows that others changed meanwhile.
func (m *Module) rotateKind(ctx context.Context, k Kind, r *Rotation, report func(Progress) error) (conflicts int, err error) {
	seen := 0
	err = m.eachBatch(ctx, k, func(rows []contract.SealedRow) error {
		var resealed []contract.Resealed
		for _, row := range rows {
			next, changed, err := m.reseal(row)
			switch {
			case err != nil:
				r.Remaining = append(r.Remaining, Failure{k.Name, row.ID, row.Of, err.Error()})
			case changed:
				resealed = append(resealed, next)
			}
		}
		n, err := m.replace(ctx, k, resealed)
		if err != nil {
			return err
		}
		if changed := len(resealed) - int(n); changed > 0 {
			r.Remaining = append(r.Remaining, Failure{Kind: k.Name, Problem: fmt.Sprintf("%d rows were changed meanwhile; run it again", changed)})
			conflicts += changed
		}
		r.Resealed += n
		seen += len(rows)
		return report(Progress{k.Name, seen, r.Resealed})
	})
	return conflicts, err
}

// reseal returns a row's texts under the current key, and whether any of them changed.
func (m *Module) reseal(row contract.SealedRow) (next contract.Resealed, changed bool, err error) {
	next = contract.Resealed{ID: row.ID, Before: row.Texts, After: make([]*string, len(row.Texts))}
	for i, text := range row.Texts {
		if text == nil {
			continue
		}
		again, err := m.d.Ring.Reseal(row.Places[i], *text)
		if err != nil {
			return next, false, err
		}
		next.After[i] = &again
		changed = changed || again != *text
	}
	return next, changed, nil
}

func (m *Module) replace(ctx context.Context, k Kind, rows []contract.Resealed) (n int64, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	err = m.d.DB.InTx(ctx, func(tx *database.Tx) (err error) {
		n, err = k.Store.ReplaceSealed(ctx, tx, rows)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("re-encrypt %s: %w", k.Name, err)
	}
	return n, nil
}

const insertRetiredSQL = `
INSERT INTO retired_keys (id, fingerprint, remains, retired_at)
VALUES ($1, $2, $3, $4)
ON     CONFLICT (fingerprint) DO UPDATE SET remains = excluded.remains`

// retire stores the retired form of the other keys, so that digests and seals made with
// them can be verified once the keys are gone.
func (m *Module) retire(ctx context.Context) error {
	rest, err := m.d.Ring.Retire()
	if err != nil {
		return err
	}
	return m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		for _, k := range rest {
			if _, err := tx.Exec(ctx, insertRetiredSQL, id.New(), k.ID, k.Sealed, tx.Now); err != nil {
				return fmt.Errorf("retire the key %s: %w", k.ID, err)
			}
		}
		return nil
	})
}

// audit records a rotation that changed something.
func (m *Module) audit(ctx context.Context, r Rotation) error {
	if r.Resealed == 0 {
		return nil
	}
	details, err := json.Marshal(map[string]any{"keyId": r.KeyID, "resealed": r.Resealed, "remaining": len(r.Remaining)})
	if err != nil {
		return fmt.Errorf("marshal the audit entry of the rotation: %w", err)
	}
	return m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		return m.d.Audit.Record(ctx, tx, []contract.AuditEntry{{EntityType: contract.EntityRecords, Action: "secrets.rotated",
			Actor: httpapi.Actor(ctx), Details: details}})
	})
}
