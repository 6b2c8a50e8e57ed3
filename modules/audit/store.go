package audit

import (
	"context"
	"slices"

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
		"details text", "created_at timestamptz")
}

func insertEntries(ctx context.Context, tx *database.Tx, rows *database.Rows) error {
	return tx.Insert(ctx, "audit_entries", rows)
}

// filter says which entries are wanted; "" means any.
type filter struct{ entityType, entityID, action string }

// everyEvents are the actions that every event leaves behind. rare says that an action is
// none of them; the index of the rare ones is used where a query says it in these words.
var everyEvents = []string{"webhook.received", "event.normalized", "event.queued", "event.processed"}

const rare = "action NOT IN ('webhook.received', 'event.normalized', 'event.queued', 'event.processed')"

// rareType is the same of entity types.
const rareType = "entity_type NOT IN ('" + contract.EntityWebhookEvent + "', '" + contract.EntityNormalizedEvent + "')"

// newest lists entries by id, which sorts by the time they were made.
var newest = database.Listing[entry]{
	Columns: "id, entity_type, entity_id, action, actor, details, created_at",
	From:    "audit_entries",
	ID:      "id",
	Desc:    true,
	Key:     func(e entry) database.Position { return database.Position{ID: e.ID} },
}

func readEntries(ctx context.Context, db *database.DB, want filter, page database.Page) (database.List[entry], error) {
	return database.ReadList(ctx, db, newest, want.conditions(), page)
}

func (want filter) conditions() *database.Filter {
	f := &database.Filter{}
	if want.entityType != "" {
		f.Add("entity_type = ?", want.entityType)
		if want.entityType != contract.EntityWebhookEvent && want.entityType != contract.EntityNormalizedEvent {
			f.Add(rareType)
		}
	}
	if want.entityID != "" {
		f.Add("entity_id = ?", want.entityID)
	}
	if want.action != "" {
		f.Add("action = ?", want.action)
		if !slices.Contains(everyEvents, want.action) {
			f.Add(rare)
		}
	}
	return f
}
