package bulk

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"integration-gateway/platform/database"
)

// erased stands in a filter for a subject that was erased. It matches no event, so that a replay
// that is under way does not go on with all events.
const erased = "[erased]"

const (
	selectFiltersSQL = `
SELECT id, filter FROM replays`
	updateFilterSQL = `
UPDATE replays SET filter = $2 WHERE id = $1`
)

// ForgetSubject removes a subject from the filters of replays: of those that are restricted to some
// of these integrations, or of all, if integrations is nil.
func (r *Replays) ForgetSubject(ctx context.Context, tx *database.Tx, subject string, integrations []string) error {
	var f database.Filter
	f.Add(`filter LIKE '%"subject":"%'`)
	if integrations != nil {
		restrictTo(&f, integrations)
	}
	where, args := f.Where()
	var rows []struct {
		ID     string `db:"id"`
		Filter filter `db:"filter"`
	}
	if err := tx.Select(ctx, &rows, selectFiltersSQL+where+" ORDER BY id"+tx.Dialect.ForUpdate, args...); err != nil {
		return fmt.Errorf("read the filters of replays: %w", err)
	}
	for _, row := range rows {
		if row.Filter.Subject == nil || !strings.Contains(*row.Filter.Subject, subject) {
			continue
		}
		stand := erased
		row.Filter.Subject = &stand
		text, err := json.Marshal(row.Filter)
		if err != nil {
			return fmt.Errorf("write the filter: %w", err)
		}
		if _, err := tx.Exec(ctx, updateFilterSQL, row.ID, string(text)); err != nil {
			return fmt.Errorf("forget a subject in replay %s: %w", row.ID, err)
		}
	}
	return nil
}
