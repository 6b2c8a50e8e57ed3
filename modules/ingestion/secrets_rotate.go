package ingestion

import (
	"context"
	"time"

	"integration-gateway/platform/database"
	"integration-gateway/platform/strictjson"
)

// RotateSecret adds a secret and has the others expire after a while, nil for never. It
// gives the new one's id and the others' that verify until then.
func (m *Module) RotateSecret(ctx context.Context, tx *database.Tx, integrationID string, s SecretConfig, expireOld *time.Duration) (added string, old []string, err error) {
	_, before, err := m.lockSecrets(ctx, tx, integrationID)
	if err != nil {
		return "", nil, err
	}
	if added, err = m.AddSecret(ctx, tx, integrationID, s); err != nil {
		return "", nil, err
	}
	for _, one := range before {
		if !one.verifies(tx.Now) {
			continue
		}
		old = append(old, one.ID)
		if expireOld == nil {
			continue
		}
		end := tx.Now.Add(*expireOld)
		if one.ExpiresAt != nil && one.ExpiresAt.Before(end) {
			continue // it ends sooner anyway
		}
		err := m.ChangeSecret(ctx, tx, integrationID, one.ID, SecretChange{ExpiresAt: strictjson.Nullable[time.Time]{Given: true, Value: &end}})
		if err != nil {
			return "", nil, err
		}
	}
	return added, old, nil
}
