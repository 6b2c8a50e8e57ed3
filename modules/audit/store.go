package audit

import (
	"context"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// entry is a row of audit_entries.
type entry struct {
	ID         string     `db:"id"`
	EntityType string     `db:"entity_type"`
	EntityID   *string    `db:"entity_id"`
	Action     string     `db:"action"`
	Actor      string     `db:"actor"`
	Details    string     `db:"details"`
	CreatedAt  clock.Time `db:"created_at"`
}

func newEntryRows() *database.Rows {
	return database.NewRows("id uuid", "entity_type text", "entity_id uuid", "action text", "actor text",
		"details text", "created_at timestamptz", "source text")
}

func insertEntries(ctx context.Context, tx *database.Tx, rows *database.Rows) error {
	return tx.Insert(ctx, "audit_entries", rows)
}

// filter selects entries; "" matches any.
type filter struct {
	entityType, entityID, action, actor string
	source                              string     // that the details name, or whose integration they are about
	sources                             []string   // that the caller may see; nil for all
	from, to                            *time.Time // of createdAt, both included
}

// newestFirst lists entries by id, which sorts by creation time.
var newestFirst = database.Listing[entry]{
	Columns: "id, entity_type, entity_id, action, actor, details, created_at",
	From:    "audit_entries",
	ID:      "id",
	Desc:    true,
	Key:     func(e entry) database.Position { return database.Position{ID: e.ID} },
}

func (want filter) conditions() *database.Filter {
	f := &database.Filter{}
	if want.entityType != "" {
		f.Add("entity_type = ?", want.entityType)
	}
	if want.entityID != "" {
		f.Add("entity_id = ?", want.entityID)
	}
	if want.action != "" {
		f.Add("action = ?", want.action)
	}
	if want.actor != "" {
		f.Add("actor = ?", want.actor)
	}
	if want.actor != "" && want.actor != contract.ActorGateway {
		f.Add("actor <> 'gateway'") // the index has no others
	}
	if want.source != "" {
		f.Add("source = ?", want.source)
	}
	if want.sources != nil {
		f.Among("source", want.sources)
	}
	f.CreatedBetween("id", "created_at", want.from, want.to)
	return f
}
