package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// Record writes entries in the transaction tx, in their order: those of what every event
// leaves in groups, the others as rows, with one insert each. Empty details become {}.
// Details that are not a JSON object fail the transaction: one such text would break every
// list that contains it.
func (m *Module) Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error {
	names, err := m.sourcesOf(ctx, tx, entries)
	if err != nil {
		return err
	}
	return record(ctx, tx, entries, basesAt(tx.Now), names)
}

// clocksApart is how far ids may be from the database's clock. Seals follow that clock: entries
// with ids of long ago would lie where all is sealed, and those of later would stay unsealed.
const clocksApart = time.Minute

// basesAt makes the bases of a transaction's entries: this process's ids, or, where its clock is
// wrong, ids of the transaction's time.
func basesAt(now time.Time) func() string {
	made := 0
	return func() string {
		base := id.New()
		if id.Time(base).Sub(now).Abs() <= clocksApart {
			return base
		}
		made++
		return id.At(now.Add(time.Duration(made) * time.Millisecond))
	}
}

// record takes the ids' bases from newBase, which must increase, and the sources of integrations
// from names.
func record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry, newBase func() string, names map[string]string) error {
	rows, groups := newEntryRows(), newGroupRows()
	for part := range slices.Chunk(entries, placesPerBase) {
		g := newGrouping(newBase())
		for _, e := range part {
			details, err := detailsText(e.Details)
			if err != nil {
				return fmt.Errorf("audit %s: %w", e.Action, err)
			}
			if entryID := g.next(); !g.add(e, details) {
				rows.Add(entryID, e.EntityType, e.EntityID, e.Action, e.Actor, details, tx.Now, aboutOf(e.Details).source(names))
			}
		}
		g.row(groups, tx.Now)
	}
	if err := tx.Insert(ctx, "audit_groups", groups); err != nil {
		return err
	}
	return insertEntries(ctx, tx, rows)
}

func detailsText(details json.RawMessage) (string, error) {
	text := bytes.TrimSpace(details)
	switch {
	case len(text) == 0:
		return "{}", nil
	case text[0] != '{' || !json.Valid(text) || !utf8.Valid(text):
		return "", fmt.Errorf("the details are not a JSON object in UTF-8: %.80q", text)
	}
	return string(text), nil
}
