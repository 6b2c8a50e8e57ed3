package ingestion

import (
	"context"
	"slices"

	"integration-gateway/platform/compact"
	"integration-gateway/platform/database"
)

// A webhook of several items may bring known events beside new ones. It is stored for the new
// ones, but its body has the known ones too. So these are recorded as its repeats, and the erasure
// of an event finds all bodies that have its data.

// holdersSQL are the webhooks whose bodies have the data of the events in v.
const holdersSQL = `
SELECT e.webhook_event_id FROM normalized_events e JOIN v ON v.id = e.id
UNION
SELECT r.webhook_event_id FROM webhook_repeats r JOIN v ON v.id = r.event_id`

// withoutErased removes the original of the webhooks that repeat an erased event: it would bring
// the event's data back. The repeated events' states stay locked until tx ends, so that an erasure
// comes either before it or finds the webhook.
func (m *Module) withoutErased(ctx context.Context, tx *database.Tx, newWebhooks []verifiedWebhook) error {
	var repeated []string
	for _, w := range newWebhooks {
		repeated = append(repeated, w.repeats...)
	}
	if len(repeated) == 0 {
		return nil
	}
	slices.Sort(repeated)
	states, err := m.LockStates(ctx, tx, slices.Compact(repeated))
	if err != nil {
		return err
	}
	erased := map[string]bool{}
	for _, s := range states {
		erased[s.EventID] = s.Erased
	}
	for i, w := range newWebhooks {
		if slices.ContainsFunc(w.repeats, func(eventID string) bool { return erased[eventID] }) {
			newWebhooks[i].removeOriginal()
		}
	}
	return nil
}

// removeOriginal leaves of the webhook what an erasure would.
func (w *verifiedWebhook) removeOriginal() {
	w.erased, w.sourceIP = true, ""
	w.compactBody, w.compactHeaders, w.headerSet = []byte{}, []byte("{}"), nil
	for i, e := range w.events {
		w.events[i].compactPayload = compact.Alone(e.Payload)
	}
}

func insertRepeats(ctx context.Context, tx *database.Tx, newWebhooks []verifiedWebhook) error {
	rows := database.NewRows("event_id uuid", "webhook_event_id uuid")
	for _, w := range newWebhooks {
		if w.erased {
			continue
		}
		for _, eventID := range w.repeats {
			rows.Add(eventID, w.webhookID)
		}
	}
	if rows.Len() == 0 {
		return nil
	}
	return tx.Insert(ctx, "webhook_repeats", rows)
}
