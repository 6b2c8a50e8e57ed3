package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/id"
)

// Record writes entries with the rows that tx writes, in one insert and in their
// order. Empty details become {}. Details that are anything but a JSON object are
// refused, and the transaction with them: one such text would break every list
// that it appears in.
func (m *Module) Record(ctx context.Context, tx *database.Tx, entries []contract.AuditEntry) error {
	rows := newEntryRows().Expect(len(entries))
	for _, e := range entries {
		details, err := detailsText(e.Details)
		if err != nil {
			return fmt.Errorf("audit %s: %w", e.Action, err)
		}
		rows.Add(id.New(), e.EntityType, e.EntityID, e.Action, e.Actor, details, tx.Now)
	}
	return insertEntries(ctx, tx, rows)
}

func detailsText(details json.RawMessage) (string, error) {
	text := bytes.TrimSpace(details)
	switch {
	case len(text) == 0:
		return "{}", nil
	case text[0] != '{' || !json.Valid(text) || !utf8.Valid(text):
		return "", fmt.Errorf("the details are not a JSON object in UTF-8, but %.80q", text)
	}
	return string(text), nil
}
