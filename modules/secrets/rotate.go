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

// Progress is how far a rotation is.
type Progress struct {
	Kind     string // of rows that are being looked at
	Seen     int    // of this kind, in this pass
	Resealed int64  // of all kinds, in all passes
}

// Rotation is what became of one.
type Rotation struct {
	KeyID     string  `json:"keyId"`     // of the key under which all is now
	Resealed  int64   `json:"resealed"`  // rows that were encrypted anew
	Remaining []Stuck `json:"remaining"` // rows that are not under that key
}

// Stuck is a row that could not be encrypted anew.
type Stuck struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Of      string `json:"of"`
	Problem string `json:"problem"`
}

// maxPasses bounds a rotation where processes go on writing under another key.
const maxPasses = 5

// Rotate encrypts all that is sealed, or stored as it is, anew under the current key, a
// batch in a transaction. It may be ended at any time and begun again: what is under the
// current key already is passed over. A row that somebody changes meanwhile keeps that
// change, and is looked at once more.
func (m *Module) Rotate(ctx context.Context, told func(Progress) error) (Rotation, error) {
	r := Rotation{KeyID: m.d.Ring.Current(), Remaining: []Stuck{}}
	if r.KeyID == "" {
		return r, fault.Invalid.New("no_key", "There is no key to encrypt with: set SECRETS_KEY or SECRETS_KEY_FILE.")
	}
	if err := m.retire(ctx); err != nil {
		return r, err
	}
	for pass := 1; ; pass++ {
		before, lost := r.Resealed, 0
		r.Remaining = r.Remaining[:0]
		for _, k := range m.d.Kinds {
			if k.Store == nil {
				continue
			}
			n, err := m.rotateKind(ctx, k, &r, told)
			if err != nil {
				return r, err
			}
			lost += n
		}
		// The last pass finds nothing: then all is as it says.
		if r.Resealed == before && lost == 0 || pass == maxPasses {
			return r, m.note(ctx, r)
		}
	}
}

// rotateKind gives how many rows somebody else changed meanwhile.
func (m *Module) rotateKind(ctx context.Context, k Kind, r *Rotation, told func(Progress) error) (lost int, err error) {
	seen := 0
	err = m.each(ctx, k, func(rows []contract.SealedRow) error {
		var anew []contract.Resealed
		for _, row := range rows {
			next, changed, err := m.reseal(row)
			switch {
			case err != nil:
				r.Remaining = append(r.Remaining, Stuck{k.Name, row.ID, row.Of, err.Error()})
			case changed:
				anew = append(anew, next)
			}
		}
		n, err := m.replace(ctx, k, anew)
		if err != nil {
			return err
		}
		if missed := len(anew) - int(n); missed > 0 {
			r.Remaining = append(r.Remaining, Stuck{Kind: k.Name, Problem: fmt.Sprintf("%d rows were changed meanwhile; run it again", missed)})
			lost += missed
		}
		r.Resealed += n
		seen += len(rows)
		return told(Progress{k.Name, seen, r.Resealed})
	})
	return lost, err
}

// reseal gives what a row's texts are under the current key, and whether any of them is
// another.
func (m *Module) reseal(row contract.SealedRow) (next contract.Resealed, changed bool, err error) {
	next = contract.Resealed{ID: row.ID, Before: row.Texts, After: make([]*string, len(row.Texts))}
	for i, text := range row.Texts {
		if text == nil {
			continue
		}
		again, err := m.d.Ring.Reseal(*text)
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
		return 0, fmt.Errorf("encrypt %s anew: %w", k.Name, err)
	}
	return n, nil
}

const insertRetiredSQL = `
INSERT INTO retired_keys (id, fingerprint, remains, retired_at)
VALUES ($1, $2, $3, $4)
ON     CONFLICT (fingerprint) DO UPDATE SET remains = excluded.remains`

// retire keeps what is left of the keys beside the current one, so that digests and seals
// that were made under them are recognised once the keys are gone.
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

// note audits a rotation that did something.
func (m *Module) note(ctx context.Context, r Rotation) error {
	if r.Resealed == 0 {
		return nil
	}
	details, err := json.Marshal(map[string]any{"keyId": r.KeyID, "resealed": r.Resealed, "remaining": len(r.Remaining)})
	if err != nil {
		return fmt.Errorf("note the rotation: %w", err)
	}
	return m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		return m.d.Audit.Record(ctx, tx, []contract.AuditEntry{{EntityType: contract.EntityRecords, Action: "secrets.rotated",
			Actor: httpapi.Actor(ctx), Details: details}})
	})
}
