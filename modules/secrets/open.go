package secrets

import (
	"context"
	"fmt"

	"integration-gateway/platform/contract"
)

// Opened is the result of opening stored secrets.
type Opened struct {
	Tried  int
	Failed []Failure // of those in use
}

// maxOpened limits how many rows of each kind are opened.
const maxOpened = 200

// Open opens the first stored secrets of each kind, with the keys of this process, and
// forgets them at once.
func (m *Module) Open(ctx context.Context) (Opened, error) {
	var o Opened
	for _, k := range m.d.Kinds {
		if k.Store == nil {
			continue
		}
		rows, err := k.Store.SealedRows(ctx, minID, maxOpened)
		if err != nil {
			return o, fmt.Errorf("read the sealed rows of %s: %w", k.Name, err)
		}
		for _, row := range rows {
			o.add(k.Name, row, m.opens(row))
		}
	}
	return o, nil
}

func (o *Opened) add(kind string, row contract.SealedRow, err error) {
	o.Tried++
	if err != nil && row.InUse {
		o.Failed = append(o.Failed, Failure{Kind: kind, ID: row.ID, Of: row.Of, Problem: err.Error()})
	}
}

func (m *Module) opens(row contract.SealedRow) error {
	for i, text := range row.Texts {
		if text == nil {
			continue
		}
		if _, err := m.d.Ring.Open(row.Places[i], *text); err != nil {
			return err
		}
	}
	return nil
}
