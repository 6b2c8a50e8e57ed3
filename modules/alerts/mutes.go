package alerts

import (
	"context"
	"fmt"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
)

// mute is a row of alert_mutes: until its end, alerts of the condition and subject open
// without a notice.
type mute struct {
	ID        string     `db:"id" json:"id"`
	Condition string     `db:"condition" json:"condition"`
	Subject   *string    `db:"subject" json:"subject"` // null: every subject of the condition
	Until     clock.Time `db:"until" json:"until"`
	Reason    string     `db:"reason" json:"reason"`
	Actor     string     `db:"actor" json:"actor"`
	CreatedAt clock.Time `db:"created_at" json:"createdAt"`
}

type mutes []mute

// cover reports whether an alert is muted at a time.
func (ms mutes) cover(condition, subject string, at time.Time) bool {
	for _, m := range ms {
		if m.Condition == condition && (m.Subject == nil || *m.Subject == subject) && m.Until.After(at) {
			return true
		}
	}
	return false
}

const (
	selectMutesSQL = `
SELECT id, condition, subject, until, reason, actor, created_at
FROM   alert_mutes
WHERE  until > $1
ORDER  BY id`
	insertMuteSQL = `
INSERT INTO alert_mutes (id, condition, subject, until, reason, actor, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)`
	deleteMuteSQL = `
DELETE FROM alert_mutes WHERE id = $1`
	forgetMutesSQL = `
DELETE FROM alert_mutes WHERE until <= $1`
)

func mutesOf(ctx context.Context, tx *database.Tx) (mutes, error) {
	var list mutes
	if err := tx.Select(ctx, &list, selectMutesSQL, tx.Now); err != nil {
		return nil, fmt.Errorf("read the mutes: %w", err)
	}
	return list, nil
}

// maxMutes bounds the mutes that are in force.
const maxMutes = 1000

func insertMute(ctx context.Context, tx *database.Tx, m mute) error {
	if _, err := tx.Exec(ctx, forgetMutesSQL, tx.Now); err != nil {
		return fmt.Errorf("remove mutes that are over: %w", err)
	}
	list, err := mutesOf(ctx, tx)
	if err != nil {
		return err
	}
	if len(list) >= maxMutes {
		return fault.Conflict.New("too_many_mutes", "There are %d mutes; end some first.", maxMutes)
	}
	if _, err := tx.Exec(ctx, insertMuteSQL, m.ID, m.Condition, m.Subject, m.Until, m.Reason, m.Actor, m.CreatedAt); err != nil {
		return fmt.Errorf("insert the mute: %w", err)
	}
	return nil
}

func deleteMute(ctx context.Context, tx *database.Tx, muteID string) error {
	n, err := tx.Exec(ctx, deleteMuteSQL, muteID)
	switch {
	case err != nil:
		return fmt.Errorf("delete the mute: %w", err)
	case n == 0:
		return fault.NotFound.New("mute_not_found", "There is no mute %s; it may be over.", muteID)
	}
	return nil
}
