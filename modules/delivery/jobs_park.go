package delivery

import (
	"context"
	"fmt"

	"integration-gateway/modules/delivery/destination"
	"integration-gateway/platform/database"
)

const selectParkedSQL = `
SELECT d.id
FROM   destinations d
WHERE  EXISTS (SELECT 1 FROM processing_jobs j WHERE j.parked AND j.destination_id = d.id)`

// openSQL says of a destination d that the operator lets jobs go there; see Destination.Open.
const openSQL = "(d.is_active AND d.archived_at IS NULL OR d.open_jobs = 'finish')"

// closedSQL keeps jobs back whose destination's breaker has opened.
const closedSQL = "AND NOT EXISTS (SELECT 1 FROM destination_breakers b WHERE b.destination_id = $2)"

// unparkSQL asks the database how the destination is: what is known of it may be half a second old.
var unparkSQL = `
UPDATE processing_jobs
SET    parked = false, published_at = NULL, wake_at = CASE WHEN scheduled_at > $1 THEN scheduled_at ELSE $1 END
WHERE  (normalized_event_id, id) IN (
       SELECT normalized_event_id, id FROM processing_jobs
       WHERE  parked AND status = 'queued' AND destination_id = $2 AND EXISTS (SELECT 1 FROM destinations d WHERE d.id = $2 AND ` + openSQL + `)
       %s
       ORDER  BY scheduled_at NULLS FIRST, id
       LIMIT  $3%s)`

// unpark queues, in batches, the parked jobs of destinations that are active and reachable
// again. It also sends due probes and cancels the jobs of removed destinations.
func (m *Module) unpark(ctx context.Context) error {
	var parked []string
	if err := m.db.Select(ctx, &parked, selectParkedSQL); err != nil || len(parked) == 0 {
		return err
	}
	destinations, err := m.destinations.Get(ctx, parked)
	if err != nil {
		return err
	}
	integrations := make([]string, 0, len(parked))
	for _, d := range destinations {
		integrations = append(integrations, d.IntegrationID)
	}
	active, err := m.events.ActiveIntegrations(ctx, integrations)
	if err != nil {
		return err
	}
	for _, d := range destinations {
		switch {
		case d.Cancelled():
			err = m.cancelParked(ctx, d)
		case d.Broken() != nil || !d.Open() || !active[d.IntegrationID] && !d.Finishing():
			continue
		case d.Breaker != destination.BreakerClosed:
			err = m.probe(ctx, d)
		default:
			err = m.db.InTx(ctx, func(tx *database.Tx) error {
				_, err := tx.Exec(ctx, fmt.Sprintf(unparkSQL, closedSQL, tx.Dialect.SkipLocked), tx.Now, d.ID, relayAtOnce)
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("unpark jobs of destination %s: %w", d.ID, err)
		}
	}
	return nil
}
