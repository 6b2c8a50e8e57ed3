// Package secrets manages what the database stores under SECRETS_KEY: it says which keys
// are needed, refuses to start without one of them, and rotates to another. It owns
// retired_keys. The sealed texts belong to other modules, which read and replace them.
package secrets

import (
	"context"
	"fmt"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/keyring"
)

// Store gives access to one kind of sealed rows, which a module owns.
type Store interface {
	// SealedRows returns rows with ids after the given one, in id order.
	SealedRows(ctx context.Context, after string, limit int) ([]contract.SealedRow, error)
	// ReplaceSealed replaces the rows that are unchanged, and returns their number.
	ReplaceSealed(ctx context.Context, tx *database.Tx, rows []contract.Resealed) (int64, error)
}

// KeyUsage is a kind of rows that were made with a key and cannot be remade, such as
// digests. The retired form of the key still verifies them.
type KeyUsage interface {
	// KeysInUse counts the rows by the id of their key; "" for none.
	KeysInUse(ctx context.Context) (map[string]int64, error)
}

// Kind names a store, or a kind of rows with a key usage, for people.
type Kind struct {
	Name  string
	Store Store // nil if Usage is set
	Usage KeyUsage
}

// Auditor writes audit entries with the rows of a transaction.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Config sets the batch size.
type Config struct {
	Batch int // rows read, and replaced in one transaction; default 100
}

// Deps is everything the module needs from the outside.
type Deps struct {
	DB    *database.DB
	Ring  *keyring.Ring
	Audit Auditor
	Kinds []Kind
}

// Module manages secrets.
type Module struct {
	cfg Config
	d   Deps
}

// New wires the module; it starts nothing.
func New(cfg Config, d Deps) *Module {
	if cfg.Batch == 0 {
		cfg.Batch = 100
	}
	d.Kinds = append([]Kind{}, d.Kinds...)
	d.Kinds = append(d.Kinds, Kind{Name: "retired keys", Store: retired{d.DB}})
	return &Module{cfg: cfg, d: d}
}

// minID is less than every id of sealed rows.
const minID = "00000000-0000-0000-0000-000000000000"

// eachBatch passes all sealed rows of a kind to do, one batch at a time.
func (m *Module) eachBatch(ctx context.Context, k Kind, do func(rows []contract.SealedRow) error) error {
	for after := minID; ; {
		rows, err := k.Store.SealedRows(ctx, after, m.cfg.Batch)
		if err != nil {
			return fmt.Errorf("read the sealed rows of %s: %w", k.Name, err)
		}
		if len(rows) == 0 {
			return nil
		}
		if err := do(rows); err != nil {
			return err
		}
		after = rows[len(rows)-1].ID
	}
}

// keysOf returns the ids of the keys that a row's texts need.
func keysOf(row contract.SealedRow) map[string]bool {
	ids := map[string]bool{}
	for _, text := range row.Texts {
		if text != nil {
			ids[keyring.KeyOf(*text)] = true
		}
	}
	return ids
}
