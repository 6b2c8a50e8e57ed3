package ingestion

import (
	"context"
	"fmt"

	"integration-gateway/platform/database"
)

const selectActiveSQL = `
SELECT i.id
FROM   integrations i
JOIN   v ON v.id = i.id
WHERE  i.is_active`

// ActiveIntegrations gives those of ids that are active.
func (m *Module) ActiveIntegrations(ctx context.Context, ids []string) (map[string]bool, error) {
	var active []string
	if err := m.d.DB.SelectRows(ctx, &active, database.IDs(ids), selectActiveSQL); err != nil {
		return nil, fmt.Errorf("look up integrations: %w", err)
	}
	set := make(map[string]bool, len(active))
	for _, id := range active {
		set[id] = true
	}
	return set, nil
}
