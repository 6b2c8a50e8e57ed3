// Package secrets looks after what the database keeps under SECRETS_KEY: it says which
// keys are needed, refuses a start without one of them, and rotates to another. It owns
// retired_keys. The sealed texts belong to other modules, which give and replace them.
package secrets

import (
	"context"
	"fmt"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/keyring"
)

// Store is a kind of sealed rows that a module owns.
type Store interface {
	// SealedRows gives rows whose ids follow one, in the order of their ids.
	SealedRows(ctx context.Context, after string, limit int) ([]contract.SealedRow, error)
	// ReplaceSealed replaces what is still as it was, and gives how many rows that were.
	ReplaceSealed(ctx context.Context, tx *database.Tx, rows []contract.Resealed) (int64, error)
}

// Marks is a kind of rows that were made under a key and cannot be made anew: they are
// recognised by what is left of it.
type Marks interface {
	// KeysInUse counts the rows by the id of their key; "" for none.
	KeysInUse(ctx context.Context) (map[string]int64, error)
}

// Kind names a store, or marks, for people.
type Kind struct {
	Name  string
	Store Store // nil for marks
	Marks Marks
}

// Auditor writes audit entries with the rows of a transaction.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error
}

// Config is how the work is cut.
type Config struct {
	Batch int // rows that are read, and replaced in one transaction; default 100
}

// Deps is everything the module needs from the outside.
type Deps struct {
	DB    *database.DB
	Ring  *keyring.Ring
	Audit Auditor
	Kinds []Kind
}

// Module looks after secrets.
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

// beforeAll is less than every id of sealed rows.
const beforeAll = "00000000-0000-0000-0000-000000000000"

// each hands over all sealed rows of a kind, a batch at a time.
func (m *Module) each(ctx context.Context, k Kind, do func(rows []contract.SealedRow) error) error {
	for after := beforeAll; ; {
		rows, err := k.Store.SealedRows(ctx, after, m.cfg.Batch)
		if err != nil {
			return fmt.Errorf("read what is sealed of %s: %w", k.Name, err)
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

// keysOf are the ids of the keys that a row's texts need.
func keysOf(row contract.SealedRow) map[string]bool {
	ids := map[string]bool{}
	for _, text := range row.Texts {
		if text != nil {
			ids[keyring.KeyOf(*text)] = true
		}
	}
	return ids
}
