package bulk

import (
	"context"
	"fmt"
	"slices"
	"time"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

const endSQL = `
UPDATE replays
SET    status = $1, ended_at = $2, updated_at = $2, lease_token = NULL, lease_until = NULL
WHERE  id = $3 AND status = $4 AND lease_token = $5 AND ended_at IS NULL`

// finish ends a replay whose last delivery has ended.
func (m *Replays) finish(ctx context.Context, r replay) (time.Duration, error) {
	open, err := m.d.Requests.Open(ctx, r.ID, 1)
	if err != nil || len(open) > 0 {
		return m.cfg.Look, err
	}
	return m.cfg.Look, m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		if err := one(tx.Exec(ctx, endSQL, completed, tx.Now, r.ID, running, m.token)); err != nil {
			return err
		}
		if err := tx.Get(ctx, &r, selectSQL+" WHERE id = $1", r.ID); err != nil { // with the last counts
			return fmt.Errorf("read the replay: %w", err)
		}
		if err := m.d.URLs.Close(ctx, tx, []string{r.ID}); err != nil {
			return err
		}
		return m.d.Audit.Record(ctx, tx, []contract.AuditEntry{entry(r, completed, contract.ActorGateway)})
	})
}

// drain ends the deliveries of a cancelled replay that wait. Those under way end by themselves.
func (m *Replays) drain(ctx context.Context, r replay) (time.Duration, error) {
	open, err := m.d.Requests.Open(ctx, r.ID, m.cfg.Page)
	if err != nil {
		return m.cfg.Look, err
	}
	n := 0
	err = m.d.DB.InTx(ctx, func(tx *database.Tx) (err error) {
		reason := "cancelled with its bulk replay " + r.ID
		switch {
		case len(open) == 0:
			if err := one(tx.Exec(ctx, endSQL, cancelled, tx.Now, r.ID, cancelled, m.token)); err != nil {
				return err
			}
			return m.d.URLs.Close(ctx, tx, []string{r.ID})
		case r.URL != nil:
			n, err = m.d.Requests.CancelSends(ctx, tx, open, reason)
		default:
			n, err = m.d.Deliveries.CancelReplays(ctx, tx, open, reason)
		}
		return err
	})
	if n > 0 {
		return 0, err
	}
	return m.cfg.Look, err
}

const progressSQL = `
UPDATE replays SET delivered = delivered + $1, failed = failed + $2, updated_at = $3 WHERE id = $4`

// Progress is how many requests of a replay have ended.
type Progress struct{ Delivered, Failed int }

// Ended counts requests that have ended, in the transaction that ends them.
func (m *Replays) Ended(ctx context.Context, tx *database.Tx, ended map[string]Progress) error {
	ids := make([]string, 0, len(ended))
	for replayID := range ended {
		ids = append(ids, replayID)
	}
	slices.Sort(ids) // in locking order
	for _, replayID := range ids {
		p := ended[replayID]
		if _, err := tx.Exec(ctx, progressSQL, p.Delivered, p.Failed, tx.Now, replayID); err != nil {
			return fmt.Errorf("count the progress of replay %s: %w", replayID, err)
		}
	}
	return nil
}
